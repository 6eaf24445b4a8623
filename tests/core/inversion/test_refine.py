"""Refinement: better than its start, inside its ball, one end an image, the same twice."""

import dataclasses
import json
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from core.errors import InversionError, ResumeError, Stopped
from core.generators.stylegan2.generator import StyleGAN2Sampler
from core.image_arrays import as_tensor, to_bytes, to_float
from core.inversion import batching
from core.inversion.config import InversionConfig
from core.inversion.encoder import Encoder, EncoderConfig
from core.inversion.initial_codes import latent_spread
from core.inversion.objective import Losses, Objective, distance_from, project
from core.inversion.perceptual.domain import DomainPerceptual
from core.inversion.refine import _Inversion, invert
from core.inversion.refinement import learning_rate
from core.inversion.report import InversionReport, InvertedImage, summarize
from core.run import Run
from tests.core.inversion.conftest import bound, changed_copy

Module = TypeVar("Module", bound=nn.Module)

QUICK = InversionConfig(steps=30, learning_rate=0.05, precision="float32")


@pytest.fixture
def images(generator: StyleGAN2Sampler) -> Tensor:
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(3))
    return to_bytes(generator.image_of(generator.generator.network.map(z)))


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(4)
    config = EncoderConfig((16, 16), rows=6, width=16, channels=(8,), head_channels=4, offset_rank=4)
    return Encoder(config).eval().requires_grad_(False)


def run(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, **settings: Any
) -> list[InvertedImage]:
    encoder = settings.pop("encoder", None)
    config = dataclasses.replace(QUICK, **settings)
    return invert(generator, images, encoder=encoder, perceptual=perceptual, config=config)


def test_every_image_ends_closer_than_it_began(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, encoder: Encoder
) -> None:
    for start in (None, encoder):
        results = run(generator, perceptual, images, encoder=start, radius=1.0)
        assert len(results) == 4
        for result in results:
            assert result.report.perceptual < result.report.start_perceptual
            assert result.report.psnr > result.report.start_psnr
            assert result.report.start == ("mean" if start is None else "encoder")


def test_what_is_reported_can_be_computed_again(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    for image, result in zip(images, run(generator, perceptual, images), strict=True):
        drawn = generator.synthesize(result.codes).image.clamp(-1, 1)
        target = to_float(image[None])
        report = result.report
        assert torch.equal(to_bytes(drawn)[0], result.reconstruction)
        assert report.perceptual == pytest.approx(float(perceptual.distance(drawn, perceptual.features(target))), 1e-4)
        assert report.l2 == pytest.approx(float((drawn - target).square().mean() / 4), 1e-4)
        assert report.psnr == pytest.approx(-10 * torch.log10(torch.tensor(report.l2)).item(), 1e-4)
        assert report.perceptual_name == "tiny-domain-v1"
        assert InversionReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize("norm", ["layer_rms", "flat"])
@pytest.mark.parametrize("one_row", [False, True])
@pytest.mark.parametrize("radius", [0.01, 0.3])
def test_codes_never_leave_the_ball(
    generator: StyleGAN2Sampler,
    perceptual: DomainPerceptual,
    images: Tensor,
    encoder: Encoder,
    norm: str,
    one_row: bool,
    radius: float,
) -> None:
    results = run(generator, perceptual, images, encoder=encoder, norm=norm, one_row=one_row, radius=radius, steps=20)
    for result in results:
        assert result.report.norm <= radius
        assert result.report.radius == radius
        if radius == 0.01:
            assert result.report.norm > 0.9 * radius  # the wall is reached, so it was the wall that held
        if one_row:
            (rows,) = result.codes.parts["w_plus"]
            assert torch.equal(rows, rows[:1].expand(6, -1))
            assert result.report.layer_spread < 1e-6


@pytest.mark.parametrize("norm", ["layer_rms", "flat"])
def test_projection_changes_only_what_is_outside(norm: Any) -> None:
    random = torch.Generator().manual_seed(5)
    centre = torch.randn(50, 6, 16, generator=random)
    codes = centre + torch.randn(50, 6, 16, generator=random) * torch.linspace(0, 2, 50)[:, None, None]
    radius = 0.7 if norm == "layer_rms" else 7.0
    projected = project(codes, centre, radius, norm)
    assert (distance_from(projected, centre, norm) <= radius).all()
    inside = distance_from(codes, centre, norm) <= radius * (1 - 1e-3)
    assert 0 < inside.sum() < 50
    assert torch.equal(projected[inside], codes[inside])
    directions = torch.nn.functional.cosine_similarity(codes - centre, projected - centre, dim=2)
    torch.testing.assert_close(directions[1:], torch.ones(49, 6), rtol=0, atol=1e-4)


def test_unless_given_the_ball_is_as_wide_as_w_and_never_narrower_than_the_papers(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, encoder: Encoder
) -> None:
    for spread, radius in ((0.1, 0.5), (2.0, 2.0)):
        sampler = changed_copy(generator)
        network = sampler.generator.network
        last = network.mapping.layers[-1]
        for parameter in (last.weight, last.bias):
            parameter.data *= spread / latent_spread(generator)
        network.w_avg.copy_(sampler.random_rows(1000, 0).mean(0))
        [result] = run(sampler, perceptual, images[:1], encoder=encoder, steps=1)
        assert result.report.radius == pytest.approx(radius, rel=0.05)


def test_the_soft_penalty_and_the_pull_toward_w_hold_codes_back(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, encoder: Encoder
) -> None:
    free = run(generator, perceptual, images, encoder=encoder, constraint="none")
    soft = run(generator, perceptual, images, encoder=encoder, constraint="penalty", penalty_weight=100.0)
    near_w = run(generator, perceptual, images, encoder=encoder, constraint="none", row_deviation_weight=100.0)
    for a, b, c in zip(free, soft, near_w, strict=True):
        assert a.report.radius is b.report.radius is None
        assert b.report.norm < a.report.norm
        assert c.report.layer_spread < a.report.layer_spread


def test_images_on_a_plateau_leave_and_the_others_go_on(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images.clone()
    images[1] = to_bytes(generator.image_of(generator.centre.expand(1, 6, -1)))[0]  # perfect at the start
    sizes: list[int] = []
    losses = Objective.losses

    def counted(self: Objective, codes: Tensor, *rest: Any) -> Losses:
        sizes.append(len(codes))
        return losses(self, codes, *rest)

    monkeypatch.setattr(Objective, "losses", counted)
    results = run(generator, perceptual, images, batch=4, steps=60, patience=5, learning_rate=0.2)
    steps = [result.report.steps for result in results]
    assert steps[1] < min(steps[0], steps[2], steps[3])
    assert sizes[0] == 4
    assert sizes[steps[1] + 1] < 4
    assert sum(sizes) == sum(steps) + 4  # every image is looked at once more than it is moved


def test_neighbours_change_no_more_than_rounding(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    together = run(generator, perceptual, images, steps=10)
    alone = run(generator, perceptual, images, steps=10, batch=1)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.codes.parts["w_plus"], b.codes.parts["w_plus"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("candidates", [0, 5])
def test_the_same_twice_bit_for_bit(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, candidates: int
) -> None:
    first, second = (run(generator, perceptual, images, start_candidates=candidates, patience=4) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.codes.parts["w_plus"], b.codes.parts["w_plus"])
        assert torch.equal(a.reconstruction, b.reconstruction)
        assert a.report == b.report


def test_the_best_of_random_codes_is_a_better_start_than_most(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    one = run(generator, perceptual, images, start_candidates=1, steps=0)
    many = run(generator, perceptual, images, start_candidates=40, steps=0)
    assert many[0].report.start == "best_of_40"
    for a, b in zip(one, many, strict=True):
        assert b.report.start_perceptual <= a.report.start_perceptual or b.report.start_psnr > a.report.start_psnr
        assert b.report.steps == 0
        assert b.report.norm == 0


def test_the_best_code_is_kept_when_later_ones_are_worse(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    results = run(generator, perceptual, images, learning_rate=50.0, steps=8, constraint="none")
    objective = Objective.of(generator, perceptual, QUICK)
    target = to_float(images)
    codes = torch.cat([result.codes.parts["w_plus"] for result in results])
    start = generator.centre.expand(4, 6, -1)
    features = objective.features(target)
    end, begin = (objective.losses(at, start, target, features).total for at in (codes, start))
    assert (end <= begin).all()


def test_progress_never_falls_and_ends_at_its_total(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    told: list[tuple[int, int]] = []
    config = dataclasses.replace(QUICK, batch=3, patience=3)
    invert(
        generator,
        images,
        encoder=None,
        perceptual=perceptual,
        config=config,
        run=Run(progress=lambda done, total: told.append((done, total))),
    )
    assert {total for _, total in told} == {4 * 30}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (120, 120)


def test_it_stops_between_steps(generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor) -> None:
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(Stopped):
        invert(
            generator,
            images,
            encoder=None,
            perceptual=perceptual,
            config=QUICK,
            run=Run(should_stop=should_stop, seed=1),
        )
    assert len(asked) == 6


def test_poor_reconstructions_are_flagged_and_summed_up(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    noise = torch.randint(0, 256, (1, 3, 16, 16), generator=torch.Generator().manual_seed(6), dtype=torch.uint8)
    results = run(generator, perceptual, torch.cat([images[:1], noise]), poor_psnr=11.0, steps=60, learning_rate=0.1)
    assert [result.report.flagged for result in results] == [False, True]
    summary = summarize([result.report for result in results])
    assert (summary["images"], summary["flagged"], summary["start"]) == (2, 1, "mean")


def test_a_memory_budget_cuts_the_list_into_even_batches(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = batch_sizes(monkeypatch)
    one = batching.bytes_per_image(Objective.of(generator, perceptual, QUICK), "cpu")
    assert 50_000 < one < 5_000_000
    run(generator, perceptual, images, steps=1, memory_budget=3 * one)
    run(generator, perceptual, images, steps=1, memory_budget=1)
    assert sizes == [2, 2, 1, 1, 1, 1]


def test_without_a_budget_the_free_memory_decides(
    generator: StyleGAN2Sampler,
    perceptual: DomainPerceptual,
    images: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    sizes = batch_sizes(monkeypatch)
    one = batching.bytes_per_image(Objective.of(generator, perceptual, QUICK), "cpu")
    for free in (one * 6, None):
        monkeypatch.setattr(batching, "available_memory", lambda free=free: free)
        run(generator, perceptual, images, steps=1)
    assert sizes == [2, 2, 4]
    monkeypatch.undo()
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16 kB\nMemAvailable:    12 kB\n")
    assert batching.available_memory(meminfo) == 12 * 1024
    assert batching.available_memory(tmp_path / "nothing") is None
    assert batching.memory_budget("cpu") <= batching.CPU_BUDGET


def test_most_of_the_free_memory_of_a_gpu_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def memory(device: torch.device) -> tuple[int, int]:
        asked.append(device)
        return 1000 << 20, 4000 << 20

    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    assert batching.memory_budget("cuda:1") == 800 << 20
    assert asked == [torch.device("cuda:1")]


def test_a_batch_that_does_not_fit_after_all_is_halved(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = batch_sizes(monkeypatch)
    losses = Objective.losses

    def small_memory(self: Objective, codes: Tensor, *rest: Any) -> Losses:
        if len(codes) > limit:
            raise torch.OutOfMemoryError
        return losses(self, codes, *rest)

    monkeypatch.setattr(Objective, "losses", small_memory)
    limit = 1
    assert len(run(generator, perceptual, images, steps=2, batch=4)) == 4
    assert sizes == [4, 2, 1, 1, 1, 1]
    limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        run(generator, perceptual, images, steps=2)


def batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that are begun from now on."""
    sizes: list[int] = []
    start = _Inversion._start

    def counted(self: _Inversion, target: Tensor, *rest: Any) -> Tensor:
        sizes.append(len(target))
        return start(self, target, *rest)

    monkeypatch.setattr(_Inversion, "_start", counted)
    return sizes


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
def test_an_inversion_goes_on_from_any_checkpoint_to_the_same_bits(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, encoder: Encoder, kept: int
) -> None:
    config = dataclasses.replace(QUICK, steps=12, batch=2, patience=3, tolerance=0.2)
    arguments: dict[str, Any] = {"encoder": encoder, "perceptual": perceptual, "config": config}
    saved: list[bytes] = []
    whole = invert(generator, images, **arguments, run=Run(checkpoint=saved.append, checkpoint_every=5))
    assert len(saved) >= 4
    told: list[int] = []
    resumed = invert(
        generator, images, **arguments, run=Run(resume_from=saved[kept - 1], progress=lambda done, _: told.append(done))
    )
    for a, b in zip(whole, resumed, strict=True):
        assert torch.equal(a.codes.parts["w_plus"], b.codes.parts["w_plus"])
        assert torch.equal(a.reconstruction, b.reconstruction)
        assert a.report == b.report
    assert told == sorted(told)
    assert told[0] > 0
    assert told[-1] == 48


def _nudged(network: Module) -> Module:
    """The same under the same name, with one weight changed."""
    other = deepcopy(network)
    with torch.no_grad():
        next(iter(other.parameters())).view(-1)[0] += 1e-3
    return other


def test_a_foreign_or_damaged_checkpoint_is_refused(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    saved: list[bytes] = []
    arguments: dict[str, Any] = {"encoder": None, "perceptual": perceptual}
    invert(generator, images, **arguments, config=QUICK, run=Run(checkpoint=saved.append, checkpoint_every=10))
    other = dataclasses.replace(QUICK, radius=0.4)
    with pytest.raises(ResumeError, match="another inversion"):
        invert(generator, images, **arguments, config=other, run=Run(resume_from=saved[0]))
    with pytest.raises(ResumeError, match="another inversion"):
        invert(generator, images.flip(0), **arguments, config=QUICK, run=Run(resume_from=saved[0]))
    with pytest.raises(ResumeError, match="another inversion"):
        invert(
            bound(_nudged(generator.generator.network)),
            images,
            **arguments,
            config=QUICK,
            run=Run(resume_from=saved[0]),
        )
    nudged = arguments | {"perceptual": _nudged(perceptual)}
    with pytest.raises(ResumeError, match="another inversion"):
        invert(generator, images, **nudged, config=QUICK, run=Run(resume_from=saved[0]))
    with pytest.raises(ResumeError, match="cannot be read"):
        invert(generator, images, **arguments, config=QUICK, run=Run(resume_from=saved[0][:100]))
    # What only says how the work is cut may change in between.
    again = dataclasses.replace(QUICK, batch=1, poor_psnr=3.0)
    assert len(invert(generator, images, **arguments, config=again, run=Run(resume_from=saved[0]))) == 4


def test_the_perceptual_gate_flags_in_place_of_the_psnr(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    free = run(generator, perceptual, images, steps=5, poor_psnr=99.0)
    assert all(result.report.flags == (f"PSNR {result.report.psnr:.1f} dB below 99 dB",) for result in free)
    limit = sorted(result.report.perceptual for result in free)[1]
    gated = run(generator, perceptual, images, steps=5, poor_psnr=99.0, max_perceptual=limit)
    assert [r.report.flagged for r in gated] == [r.report.perceptual > limit for r in gated]
    assert sum(r.report.flagged for r in gated) == 2
    flagged = next(r.report for r in gated if r.report.flagged)
    assert flagged.flags == (f"perceptual distance {flagged.perceptual:.4g} above {limit:g}",)


def test_in_bfloat16_codes_stay_exact_numbers_and_reports_are_measured_in_float32(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for able in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: {"avx512_bf16": able})
        automatic = dataclasses.replace(QUICK, precision="auto")
        assert Objective.of(generator, perceptual, automatic).autocast == able
    exact, fast = (run(generator, perceptual, images, precision=name, steps=20) for name in ("float32", "bfloat16"))
    for a, b, image in zip(exact, fast, images, strict=True):
        assert b.codes.parts["w_plus"].dtype == torch.float32
        assert not torch.equal(a.codes.parts["w_plus"], b.codes.parts["w_plus"])
        drawn = generator.synthesize(b.codes).image.clamp(-1, 1)
        assert b.report.l2 == pytest.approx(float((drawn - to_float(image[None])).square().mean() / 4), 1e-4)
        # Nothing is lost that matters: the gain over the start is the same within a twentieth.
        gain_exact, gain_fast = (r.report.start_perceptual - r.report.perceptual for r in (a, b))
        assert gain_fast == pytest.approx(gain_exact, rel=0.05)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(0, 3, 16, 16, dtype=torch.uint8),
        torch.zeros(1, 3, 16, 17, dtype=torch.uint8),
        torch.zeros(1, 16, 16, 3, dtype=torch.uint8),
        torch.zeros(1, 3, 16, 16),
    ],
)
def test_images_that_do_not_fit_are_refused(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor
) -> None:
    with pytest.raises(InversionError) as caught:
        run(generator, perceptual, images)
    assert caught.value.problems[0].pointer == "images"


def test_what_is_never_finite_is_an_error_that_names_the_image(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, images: Tensor, encoder: Encoder
) -> None:
    encoder.shared.bias.data.fill_(float("nan"))
    with pytest.raises(InversionError) as caught:
        run(generator, perceptual, images[:2], encoder=encoder, batch=1, steps=2)
    assert [problem.pointer for problem in caught.value.problems] == ["images[0]", "images[1]"]


def test_the_rate_rises_stays_and_falls() -> None:
    rates = learning_rate(torch.arange(100), InversionConfig(steps=100))
    assert rates[0] == pytest.approx(0.02)
    torch.testing.assert_close(rates[4:75], torch.full((71,), 0.1))
    assert (rates[75:].diff() < 0).all()
    assert rates[99] == pytest.approx(0, abs=1e-6)


def test_settings_round_trip_and_name_all_their_problems() -> None:
    assert InversionConfig.from_json(json.loads(json.dumps(QUICK.to_json()))) == QUICK
    with pytest.raises(InversionError) as caught:
        InversionConfig.from_json({"step": 3})
    assert [problem.pointer for problem in caught.value.problems] == ["step"]
    with pytest.raises(InversionError) as caught:
        InversionConfig.from_json(
            {"steps": 1.5, "one_row": "z", "radius": float("nan"), "batch": 0, "ramp_up": 2.0, "l2_weight": -1.0}
        )
    assert {p.pointer for p in caught.value.problems} == {"steps", "one_row", "radius", "batch", "ramp_up", "l2_weight"}


def test_pixels_survive_the_way_to_floats_and_back() -> None:
    array = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 16, 16, 3)
    images = as_tensor(array.numpy())
    assert images.shape == (1, 3, 16, 16)
    assert torch.equal(to_bytes(to_float(images)), images)
    assert torch.equal(to_bytes(torch.tensor([[[[-7.0, 7.0]]]])), torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
