"""Encoder training: it learns, rolls its batch, goes on where it stopped."""

import dataclasses
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import InversionError, ResumeError, Stopped
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator, StyleGAN2Sampler
from core.generators.stylegan2.network import Network
from core.image_arrays import to_bytes, to_float
from core.inversion.encoder import EncoderConfig, encode
from core.inversion.initial_codes import latent_spread
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk
from core.run import Run
from core.training.config import EncoderTrainingConfig
from core.training.encoder import _Training, default_encoder_config, feature_loss, train_encoder
from core.training.encoder_targets import image_source

QUICK = EncoderTrainingConfig(
    steps=12,
    samples=6,
    samples_drawn=2,
    images=3,
    iterations=3,
    log_every=4,
    checkpoint_every=5,
)


def bound(network: Network) -> StyleGAN2Sampler:
    """Bind a network that is synthesised without noise."""
    return StyleGAN2Generator(network, GeneratorInfo("tiny", options={"noise": "none"})).bind()


@pytest.fixture(scope="module")
def generator() -> StyleGAN2Sampler:
    torch.manual_seed(0)
    config = StyleGAN2Config(
        resolution=(16, 16),
        channels={0: 16, 1: 12, 2: 8},
        z_dim=8,
        w_dim=16,
        mapping_layers=2,
        mapping_lr_multiplier=1.0,
    )
    network = Network(config).eval().requires_grad_(False)
    network.w_avg.copy_(network.map(torch.randn(500, 8))[:, 0].mean(0))
    return bound(network)


@pytest.fixture(scope="module")
def perceptual() -> DomainPerceptual:
    torch.manual_seed(1)
    return DomainPerceptual("tiny-domain-v1", PerceptualTrunk([[8], [12]]))


@pytest.fixture(scope="module")
def shape(generator: StyleGAN2Sampler) -> EncoderConfig:
    return EncoderConfig((16, 16), 6, 16, latent_spread(generator), channels=(16, 24), head_channels=8, offset_rank=8)


@pytest.fixture(scope="module")
def images(generator: StyleGAN2Sampler) -> Tensor:
    z = torch.randn(20, 8, generator=torch.Generator().manual_seed(3))
    return to_bytes(generator.image_of(generator.generator.network.map(z)))


@pytest.fixture(scope="module")
def unbroken(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, images: Tensor
) -> dict[str, Tensor]:
    return train_encoder(generator, perceptual, images, QUICK, encoder_config=shape).encoder.state_dict()


@pytest.mark.parametrize("with_images", [False, True])
def test_training_brings_codes_and_images_closer(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, images: Tensor, with_images: bool
) -> None:
    config = dataclasses.replace(QUICK, steps=250, samples=12, log_every=25, learning_rate=3e-3)
    done = train_encoder(generator, perceptual, images if with_images else None, config, encoder_config=shape)
    first, last = done.curve[0], done.curve[-1]
    assert last["step"] == 250
    assert last["latent"] < 0.6 * first["latent"]
    assert last["l2"] < 0.8 * first["l2"]
    assert ("real_l2" in last) == with_images
    assert not any(parameter.requires_grad for parameter in done.encoder.parameters())
    held_out = generator.generator.network.map(torch.randn(16, 8, generator=torch.Generator().manual_seed(9)))
    target = generator.image_of(held_out).clamp(-1, 1)
    mean = generator.centre.expand_as(held_out)
    codes = encode(generator, done.encoder, target, iterations=3)
    assert (codes - held_out).square().mean() < 0.6 * (mean - held_out).square().mean()


@pytest.mark.parametrize("heads", ["e4e", "psp"])
def test_real_images_alone_are_enough(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, images: Tensor, heads: Any
) -> None:
    config = dataclasses.replace(
        QUICK, steps=120, samples=0, samples_drawn=0, images=8, log_every=20, learning_rate=3e-3, mirror=True
    )
    shape = dataclasses.replace(shape, heads=heads)
    done = train_encoder(generator, perceptual, images, config, encoder_config=shape)
    first, last = done.curve[0], done.curve[-1]
    assert "latent" not in last
    assert last["real_l2"] < 0.8 * first["real_l2"]
    with pytest.raises(InversionError, match="nothing to learn from"):
        train_encoder(generator, perceptual, None, config, encoder_config=shape)


def test_bfloat16_learns_the_same(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, images: Tensor
) -> None:
    config = dataclasses.replace(QUICK, steps=60, samples=12, log_every=20, learning_rate=3e-3)
    curves = {}
    for precision in ("float32", "bfloat16"):
        of_it = dataclasses.replace(config, precision=precision)
        done = train_encoder(generator, perceptual, images, of_it, encoder_config=shape)
        assert all(parameter.dtype == torch.float32 for parameter in done.encoder.parameters())
        curves[precision] = done.curve
    assert curves["float32"] != curves["bfloat16"]
    for exact, reduced in zip(curves["float32"], curves["bfloat16"], strict=True):
        for name in ("loss", "latent", "l2", "real_l2"):
            assert reduced[name] == pytest.approx(exact[name], rel=0.03)


def test_the_feature_loss_is_about_what_is_shown_and_not_where(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, images: Tensor
) -> None:
    features = perceptual.features(images[:4].float() / 127.5 - 1)
    assert feature_loss(features, features).abs().max() < 1e-6
    moved = tuple(tap.roll((1, 2), (2, 3)) for tap in features)
    assert feature_loss(features, moved).abs().max() < 1e-6
    assert (feature_loss(features, tuple(tap.roll(1, 0) for tap in features)) > 0).all()
    config = dataclasses.replace(QUICK, steps=60, feature_weight=5.0, log_every=20, learning_rate=3e-3)
    curve = train_encoder(generator, perceptual, images, config, encoder_config=shape).curve
    assert curve[-1]["feature"] < curve[0]["feature"]


def test_a_checkpoint_from_before_a_setting_is_gone_on_from(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, images: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "run.pt"
    config = dataclasses.replace(QUICK, steps=2, checkpoint_every=1)
    train_encoder(generator, perceptual, images, config, encoder_config=shape, checkpoint=path)
    state = torch.load(path, weights_only=True)
    del state["settings"]["config.feature_weight"]
    torch.save(state, path)
    done = train_encoder(generator, perceptual, images, config, encoder_config=shape, checkpoint=path)
    assert done.curve == state["curve"]
    other = dataclasses.replace(config, feature_weight=1.0)
    with pytest.raises(ResumeError, match="another training run"):
        train_encoder(generator, perceptual, images, other, encoder_config=shape, checkpoint=path)


def test_real_images_are_mirrored_half_of_the_time(images: Tensor) -> None:
    plain, mirrored = (image_source(images[:1], 0, mirror) for mirror in (False, True))
    assert torch.equal(plain(3, 40), images[:1].expand(40, -1, -1, -1))
    drawn = mirrored(3, 40)
    assert torch.equal(drawn, mirrored(3, 40))
    flipped = [torch.equal(one, images[0].flip(2)) for one in drawn]
    assert all(flip or torch.equal(one, images[0]) for flip, one in zip(flipped, drawn, strict=True))
    assert 8 < sum(flipped) < 32


def test_a_run_that_was_stopped_ends_at_the_weights_of_an_unbroken_one(
    generator: StyleGAN2Sampler,
    perceptual: DomainPerceptual,
    shape: EncoderConfig,
    images: Tensor,
    unbroken: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    checkpoint = tmp_path / "encoder.checkpoint"
    asked: list[int] = []

    def third_time() -> bool:
        asked.append(1)
        return len(asked) % 4 == 0

    told: list[tuple[int, int]] = []
    for _ in range(10):
        try:
            done = train_encoder(
                generator,
                perceptual,
                images,
                QUICK,
                encoder_config=shape,
                checkpoint=checkpoint,
                run=Run(progress=lambda step, total: told.append((step, total)), should_stop=third_time),
            )
        except Stopped:
            continue
        break
    assert len(asked) > 12
    assert [step for step, _ in told] == sorted(step for step, _ in told)
    assert told[-1] == (12, 12)
    for name, tensor in done.encoder.state_dict().items():
        assert torch.equal(tensor, unbroken[name]), name
    assert [entry["step"] for entry in done.curve] == [4, 8, 12]


def test_a_killed_run_resumes_from_its_last_checkpoint(
    generator: StyleGAN2Sampler,
    perceptual: DomainPerceptual,
    shape: EncoderConfig,
    images: Tensor,
    unbroken: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    checkpoint = tmp_path / "encoder.checkpoint"

    def die(step: int, total: int) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_encoder(
            generator, perceptual, images, QUICK, encoder_config=shape, checkpoint=checkpoint, run=Run(progress=die)
        )
    steps: list[int] = []
    done = train_encoder(
        generator,
        perceptual,
        images,
        QUICK,
        encoder_config=shape,
        checkpoint=checkpoint,
        run=Run(progress=lambda step, _: steps.append(step)),
    )
    assert steps[0] == 5
    assert all(torch.equal(tensor, unbroken[name]) for name, tensor in done.encoder.state_dict().items())


def test_a_run_continues_from_the_bytes_of_its_checkpoint_callback(
    generator: StyleGAN2Sampler,
    perceptual: DomainPerceptual,
    shape: EncoderConfig,
    images: Tensor,
    unbroken: dict[str, Tensor],
) -> None:
    kept: list[bytes] = []
    run = Run(checkpoint=kept.append, should_stop=lambda: bool(kept))
    with pytest.raises(Stopped):
        train_encoder(generator, perceptual, images, QUICK, encoder_config=shape, run=run)
    (state,) = kept
    steps: list[int] = []
    run = Run(resume_from=state, progress=lambda step, _: steps.append(step))
    done = train_encoder(generator, perceptual, images, QUICK, encoder_config=shape, run=run)
    assert steps[0] == 5
    assert all(torch.equal(tensor, unbroken[name]) for name, tensor in done.encoder.state_dict().items())


def test_another_runs_checkpoint_is_refused(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "encoder.checkpoint"
    config = dataclasses.replace(QUICK, steps=5)
    train_encoder(generator, perceptual, None, config, encoder_config=shape, checkpoint=checkpoint)
    with pytest.raises(ResumeError) as caught:
        train_encoder(generator, perceptual, None, config, encoder_config=shape, checkpoint=checkpoint, run=Run(seed=1))
    assert [problem.pointer for problem in caught.value.problems] == ["seed"]
    network = deepcopy(generator.generator.network)
    network.w_avg += 1e-3
    other = bound(network)
    with pytest.raises(ResumeError) as caught:
        train_encoder(other, perceptual, None, config, encoder_config=shape, checkpoint=checkpoint)
    assert [problem.pointer for problem in caught.value.problems] == ["networks and images"]
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(ResumeError, match="cannot be read"):
        train_encoder(generator, perceptual, None, config, encoder_config=shape, checkpoint=checkpoint)


def test_every_target_gets_its_corrections_one_after_another(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, images: Tensor
) -> None:
    def source(step: int, count: int) -> Tensor:
        asked.append((step, count))
        return images[:count]

    asked: list[tuple[int, int]] = []
    config = dataclasses.replace(QUICK, precision="float32")
    run = _Training(generator, perceptual, source, config, shape, Run(), "")
    for step in range(9):
        codes = run.slots.codes.clone()
        run.train_step()
        fresh = run.slots.left == QUICK.iterations - 1
        assert fresh.any() == (step > 0 or fresh.any())
        if step:
            assert fresh.sum() == 3  # 9 slots live for 3 steps each
            assert torch.equal(run.slots.target[6:7], to_float(images[:1])) or not asked
            kept = ~fresh
            assert not torch.equal(run.slots.codes[kept], codes[kept])
    assert asked[0] == (0, 3)
    assert all(count == 1 for step, count in asked[1:])
    alive = run.slots.left > 0
    drawn = generator.image_of(run.slots.codes[alive])
    torch.testing.assert_close(run.slots.current[alive], drawn, rtol=1e-4, atol=1e-4)
    features = perceptual.features(run.slots.target[run.first_drawn :])
    for kept_features, expected in zip(run.slots.features, features, strict=True):
        torch.testing.assert_close(kept_features, expected)


def test_layers_unlock_between_the_two_shares(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig
) -> None:
    config = dataclasses.replace(QUICK, steps=100, unlock_from=0.2, unlock_until=0.6)
    run = _Training(generator, perceptual, None, config, shape, Run(), "")
    counts = []
    for run.step in range(100):
        counts.append(run._unlocked())
    assert counts[20] == 0
    assert counts[60] == counts[99] == 5
    assert counts == sorted(counts)


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (256, 128), (1024, 1024)])
def test_the_default_shape_suits_the_generator(size: tuple[int, int]) -> None:
    const = (4, 2) if size[0] != size[1] else (4, 4)
    blocks = (size[0] // const[0]).bit_length()
    config = StyleGAN2Config(resolution=size, channels=dict.fromkeys(range(blocks), 2), const_size=const, w_dim=8)
    shape = default_encoder_config(bound(Network(config)), 1.0)
    assert max(shape.image_size) == min(128, max(size))
    assert max(shape.image_size) // 2 ** len(shape.channels) == 4
    assert shape.rows == 2 * blocks


def test_settings_and_images_that_cannot_be_used_are_refused(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig
) -> None:
    with pytest.raises(InversionError) as caught:
        EncoderTrainingConfig(
            steps=0,
            samples_drawn=99,
            unlock_from=0.9,
            unlock_until=0.1,
            images=-1,
            precision="float8",  # type: ignore[arg-type]
        )
    assert [p.pointer for p in caught.value.problems] == [
        "steps", "samples_drawn", "precision", "images", "unlock_from",
    ]  # fmt: skip
    with pytest.raises(InversionError, match="cannot be learnt from"):
        train_encoder(generator, perceptual, torch.zeros(2, 16, 16, 3), QUICK, encoder_config=shape)
    with pytest.raises(InversionError, match="gave something else"):
        train_encoder(generator, perceptual, lambda step, count: torch.zeros(1, 3, 8, 8), QUICK, encoder_config=shape)


def test_the_last_digits_of_the_spread_make_no_other_encoder() -> None:
    generator = bound(Network(StyleGAN2Config(resolution=(16, 16), channels={0: 8, 1: 8, 2: 8}, z_dim=4, w_dim=4)))
    few, many = (default_encoder_config(generator, spread) for spread in (0.9360718727, 0.9360719323))
    assert few == many
    assert few.latent_scale == pytest.approx(0.936, rel=1e-3)


def test_training_may_begin_with_another_encoder(
    generator: StyleGAN2Sampler, perceptual: DomainPerceptual, shape: EncoderConfig, images: Tensor, tmp_path: Path
) -> None:
    config = dataclasses.replace(QUICK, steps=60, log_every=20, learning_rate=3e-3)
    first = train_encoder(generator, perceptual, images, config, encoder_config=shape)
    checkpoint = tmp_path / "encoder.checkpoint"
    short = dataclasses.replace(config, steps=20)
    again = {"encoder_config": shape, "begin_with": first.encoder, "checkpoint": checkpoint}
    second = train_encoder(generator, perceptual, images, short, **again)
    assert second.curve[0]["loss"] < first.curve[0]["loss"]
    assert train_encoder(generator, perceptual, images, short, **again).curve == second.curve, "it was done already"
    with pytest.raises(ResumeError) as caught:
        train_encoder(generator, perceptual, images, short, encoder_config=shape, checkpoint=checkpoint)
    assert [problem.pointer for problem in caught.value.problems] == ["networks and images"]
    other = dataclasses.replace(shape, offset_rank=4)
    with pytest.raises(InversionError, match="cannot be begun with"):
        train_encoder(generator, perceptual, images, short, encoder_config=other, begin_with=first.encoder)
