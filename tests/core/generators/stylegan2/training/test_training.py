"""Training of tiny networks: every setting has an effect, runs resume bit for bit, generators can be trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.callbacks import never_stop
from core.checkpoints.content import opened
from core.checkpoints.limits import Limits
from core.errors import GeneratorError, ResumeError, Stopped
from core.generators.answers import Answers
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.family import STYLEGAN2
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.discriminator_files import read_discriminator
from core.generators.stylegan2.training.images import DrawOrder, ShrunkImages, TensorImages
from core.generators.stylegan2.training.networks import Start, block_sizes, build_networks
from core.generators.stylegan2.training.training import GanTraining, TrainingEvent
from core.run import Run

TINY = GanConfig(
    kimg=0.048, batch=8, widths=(8, 8, 8), latent_width=8, mapping_layers=2, discriminator_mapping_layers=2,
    augmentation="none", precision="float32", ema_kimg=0.02,
)  # fmt: skip


def make_images(side: int = 8, width: int = 8, channels: int = 3, classes: int = 3) -> TensorImages:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (24, channels, side, width), dtype=torch.uint8, generator=random)
    names = ("cat", "dog", "owl")[:classes]
    return TensorImages(pixels, torch.arange(24) % classes if classes else None, names)


def weights(training: GanTraining) -> list[Tensor]:
    players = training.players
    networks = (players.generator, players.ema, players.discriminator)
    return [tensor.clone() for network in networks for tensor in network.state_dict().values()]


def trained(config: GanConfig, images: TensorImages | None = None, **given: Any) -> tuple[GanTraining, TrainingEvent]:
    training = GanTraining(images or make_images(), config, **given)
    return training, list(training.train(event_every=1000))[-1]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def plain() -> list[Tensor]:
    return weights(trained(replace(TINY, kimg=0.04))[0])


NOISY: dict[str, Any] = {"noise_std": 0.5, "noise_beta": 0.9}
CHANGES: dict[str, tuple[dict[str, Any], str | None]] = {
    "no R1": ({"r1_gamma": 0.0}, None),
    "R1 weight": ({"r1_gamma": 10.0}, "r1_penalty"),
    "R1 interval": ({"r1_interval": 2}, "r1_penalty"),
    "path length": ({"path_length_weight": 2.0}, "path_length_penalty"),
    "style mixing": ({"style_mixing": 0.9}, None),
    "LeCam": ({"lecam_weight": 0.5}, "lecam_loss"),
    "ADA": ({"augmentation": "ada", "ada_p": 0.5}, "p"),
    "DiffAugment": ({"augmentation": "diffaugment"}, None),
    "orig discriminator": ({"discriminator": "orig"}, None),
    "minibatch group": ({"stddev_group": 8}, None),
    "mean weights": ({"ema_kimg": 0.5, "ema_rampup": None}, None),
    "noise": (NOISY, None),
    "noise by the paper": ({**NOISY, "noise_normalisation": "paper"}, None),
    "twins": ({**NOISY, "twins_weight": 0.1}, "twins_loss"),
    "twins from a later step": ({**NOISY, "twins_weight": 0.1, "twins_start": 4}, "twins_loss"),
    "uniform classes": ({"class_sampling": "uniform"}, None),
    "flips": ({"flip": True}, None),
    "mean code": ({"mean_code_rule": "discriminator"}, None),
    "learning rate": ({"generator_rate": 1e-3}, None),
    "frozen layers": ({"freeze_discriminator": 2}, None),
    "bfloat16": ({"precision": "bfloat16"}, None),
}


def test_each_setting_changes_a_short_run(plain: list[Tensor]) -> None:
    """Every setting, against the plain run and against each other."""
    uneven = make_images()
    uneven = TensorImages(uneven.images, uneven.class_index.clamp(max=1), uneven.classes[:2])  # type: ignore[union-attr]
    results = [("plain", plain)]
    for name, (change, figure) in CHANGES.items():
        config = replace(TINY, kimg=0.04, **change)
        training, last = trained(config, uneven if name == "uniform classes" else None)
        assert all(value == value for value in last.figures.values()), name
        assert figure is None or figure in last.figures, name
        found = weights(training)
        for other, theirs in results:
            assert len(theirs) != len(found) or not same(theirs, found), (name, other)
        results.append((name, found))


def test_penalties_that_are_off_are_not_reported(plain: list[Tensor]) -> None:
    _, last = trained(replace(TINY, r1_gamma=0.0))
    assert not {"r1_penalty", "path_length_penalty", "twins_loss", "lecam_loss", "p"} & last.figures.keys()


FULL = replace(
    TINY, augmentation="ada", ada_kimg=0.05, path_length_weight=2.0, style_mixing=0.9, lecam_weight=0.01, flip=True,
    twins_weight=0.01, **NOISY,
)  # fmt: skip


def test_resumed_training_equals_an_undisturbed_one_bit_for_bit() -> None:
    saved: list[bytes] = []
    whole = GanTraining(make_images(), FULL, Run(seed=3, checkpoint=saved.append, checkpoint_every=2))
    events = list(whole.train(event_every=3, fakes=2))
    assert len(saved) == 3
    state, restarts = None, 0
    while True:
        stops = iter([False, False, True])  # killed after every second step
        kept: list[bytes] = []
        run = Run(seed=3, resume_from=state, checkpoint=kept.append, should_stop=lambda stops=stops: next(stops, False))
        part = GanTraining(make_images(), FULL, run)
        try:
            rest = list(part.train(event_every=3, fakes=2))
        except Stopped:
            state, restarts = kept[-1], restarts + 1
            continue
        break
    assert restarts == 2
    assert same(weights(whole), weights(part))
    assert rest[-1] == events[-1]
    assert rest[-1].fakes is not None
    assert torch.equal(rest[-1].fakes, events[-1].fakes)  # type: ignore[arg-type]
    assert whole.players.strength == part.players.strength


def test_checkpoint_of_another_training_is_refused() -> None:
    training, _ = trained(TINY)
    state = training.state()
    for config, images, seed in (
        (replace(TINY, r1_gamma=1.0), make_images(), 0),
        (TINY, make_images(classes=0), 0),
        (TINY, make_images(), 1),
    ):
        with pytest.raises(ResumeError, match="another generator training"):
            GanTraining(images, config, Run(seed=seed, resume_from=state))
    with pytest.raises(ResumeError, match="cannot be read"):
        GanTraining(make_images(), TINY, Run(resume_from=state[:-100]))


def test_progress_counts_images_and_events_report_them() -> None:
    seen: list[tuple[int, int]] = []
    points: list[Any] = []
    run = Run(progress=lambda done, total: seen.append((done, total)), log=points.append)
    events = list(GanTraining(make_images(), TINY, run).train(event_every=4, fakes=3))
    assert seen == [(step * 8, 48) for step in range(7)]
    assert [(event.step, event.images, event.total) for event in events] == [(4, 32, 48), (6, 48, 48)]
    assert [point["step"] for point in points] == [4.0, 6.0]
    fakes = events[0].fakes
    assert fakes is not None
    assert (fakes.dtype, list(fakes.shape)) == (torch.uint8, [3, 3, 8, 8])


def test_generator_of_a_training_draws_its_images() -> None:
    training, _ = trained(TINY)
    generator = training.generator(GeneratorInfo("tiny", licence="CC0-1.0"))
    assert generator.info.classes == ("cat", "dog", "owl")
    assert generator.info.licence == "CC0-1.0"
    sampler = generator.bind({"truncation_psi": 1.0})
    image = sampler.synthesize(sampler.draw(0, range(3), [0, 1, 2])).image
    assert torch.equal(((image.clamp(-1, 1) + 1) * 127.5).round().byte(), training.fakes(3))
    assert not any(weight.requires_grad for weight in generator.network.parameters())
    again = training.generator(GeneratorInfo("tiny"))
    assert torch.equal(again.network.w_avg, generator.network.w_avg)


def test_grey_images_that_are_not_square_give_a_colour_generator() -> None:
    config = replace(TINY, kimg=0.016, widths=(8, 8))
    training, _ = trained(config, make_images(8, 12, channels=1, classes=0))
    generator = training.generator(GeneratorInfo("grey"))
    assert (generator.resolution, generator.channels) == ((8, 12), 3)
    assert generator.network.config.const_size == (4, 6)
    sampler = generator.bind()
    image = sampler.synthesize(sampler.draw(0, [0, 1])).image
    torch.testing.assert_close(image[:, 0], image[:, 2])
    assert training.generator(GeneratorInfo("grey"), colour=False).channels == 1


def test_generator_is_trained_on_with_and_without_its_discriminator() -> None:
    first, _ = trained(TINY)
    generator = first.generator(GeneratorInfo("first"))
    with_both = GanTraining(make_images(), TINY, start=Start(generator, first.players.discriminator))
    assert with_both.new == ()
    assert same(list(with_both.players.ema.state_dict().values()), list(generator.network.state_dict().values()))
    assert same(
        list(with_both.players.discriminator.state_dict().values()),
        list(first.players.discriminator.state_dict().values()),
    )
    alone = GanTraining(make_images(), TINY, start=Start(generator))
    assert not torch.equal(alone.players.discriminator.from_rgb.weight, first.players.discriminator.from_rgb.weight)
    for training in (with_both, alone):
        list(training.train())
    assert not same(weights(with_both), weights(alone))


def test_known_classes_keep_their_embeddings_and_new_ones_begin_at_their_mean() -> None:
    first, _ = trained(TINY)
    start = Start(first.generator(GeneratorInfo("first")), first.players.discriminator)
    pixels = make_images().images
    images = TensorImages(pixels, torch.arange(24) % 2, ("owl", "fox"))
    training = GanTraining(images, TINY, start=start)
    z = torch.randn(4, 8)
    old, new = start.generator.network, training.players.ema
    owl_before, owl_now = torch.eye(3)[[2] * 4], torch.eye(2)[[0] * 4]
    torch.testing.assert_close(new.map(z, owl_now), old.map(z, owl_before))
    mapping, before = training.players.discriminator.mapping, first.players.discriminator.mapping
    assert mapping is not None
    assert before is not None
    torch.testing.assert_close(mapping(owl_now), before(owl_before))
    torch.testing.assert_close(
        new.mapping.embed.weight[:, 1] / 2**0.5,
        old.mapping.embed.weight.mean(1) / 3**0.5,  # type: ignore[union-attr]
    )
    unconditional = GanTraining(make_images(classes=0), TINY, start=start)
    assert "discriminator.out.weight" in unconditional.new
    list(unconditional.train())
    onward = GanTraining(images, TINY, start=Start(unconditional.generator(GeneratorInfo("plain"))))
    torch.testing.assert_close(onward.players.ema.map(z, owl_now), unconditional.players.ema.map(z))


def test_generator_grows_to_larger_images_and_draws_the_same_pictures_at_first() -> None:
    first, _ = trained(TINY)
    start = Start(first.generator(GeneratorInfo("first")), first.players.discriminator)
    larger = GanTraining(make_images(16, 16), TINY, start=start)
    assert larger.players.generator.config.resolution == (16, 16)
    assert any(name.startswith("blocks.2.") for name in larger.new)
    z, c = torch.randn(2, 8), torch.eye(3)[:2]
    small = start.generator.network.synthesize(start.generator.network.map(z, c)).image
    large = larger.players.ema.synthesize(larger.players.ema.map(z, c)).image
    halved = torch.nn.functional.avg_pool2d(large, 2)
    torch.testing.assert_close(halved.mean((2, 3)), small.mean((2, 3)), atol=0.2, rtol=0.2)
    assert float((halved - small).abs().mean()) < 0.5 * float(small.std())
    list(larger.train())
    with pytest.raises(GeneratorError, match="do not fit the generator to begin with"):
        GanTraining(make_images(8, 16), TINY, start=start)


def test_frozen_layers_keep_their_weights() -> None:
    training = GanTraining(make_images(), replace(TINY, freeze_discriminator=3))
    before = [tensor.clone() for tensor in training.players.discriminator.state_dict().values()]
    names = list(training.players.discriminator.state_dict())
    list(training.train())
    after = training.players.discriminator.state_dict()
    kept = {name for name, tensor in zip(names, before, strict=True) if torch.equal(after[name], tensor)}
    assert kept == {
        f"{layer}.{part}" for layer in ("from_rgb", "blocks.1.conv0", "blocks.1.conv1") for part in ("weight", "bias")
    }


def test_images_that_cannot_train_are_refused() -> None:
    with pytest.raises(GeneratorError, match="no generator draws images of this size"):
        GanTraining(make_images(8, 17), TINY)
    with pytest.raises(GeneratorError, match="noise_std: expected images with classes"):
        GanTraining(make_images(classes=0), replace(TINY, noise_std=0.1))
    with pytest.raises(GeneratorError, match="expected at least 2, found 1"):
        GanTraining(TensorImages(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), TINY)
    with pytest.raises(GeneratorError, match="owl: expected at least one image"):
        GanTraining(TensorImages(make_images().images, torch.arange(24) % 2, ("cat", "dog", "owl")), TINY)
    with pytest.raises(GeneratorError, match="expected uint8"):
        TensorImages(torch.zeros(2, 3, 8, 8))
    with pytest.raises(GeneratorError, match="ada_pipeline: expected images larger than 21 pixels"):
        GanTraining(make_images(), replace(TINY, augmentation="ada", ada_pipeline="bgcf"))


def test_every_image_is_seen_once_before_any_is_seen_twice_unless_weighted() -> None:
    order = DrawOrder(10, 4, seed=0, stream=1)
    seen = [index for step in range(5) for index in order.of_step(step)]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]
    assert DrawOrder(10, 4, seed=0, stream=1).of_step(3) == order.of_step(3)
    weighted = DrawOrder(3, 100, seed=0, stream=1, weights=torch.tensor([0.0, 1.0, 3.0]))
    drawn = [index for step in range(20) for index in weighted.of_step(step)]
    assert drawn.count(0) == 0
    assert drawn.count(2) / drawn.count(1) == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize(
    ("size", "const_size", "blocks"),
    [
        ((32, 32), (4, 4), 4),
        ((64, 96), (4, 6), 5),
        ((96, 64), (6, 4), 5),
        ((256, 128), (8, 4), 6),
        ((1024, 1024), (4, 4), 9),
    ],
)
@torch.no_grad()
def test_networks_from_32_to_1024_pixels_fit_each_other(
    size: tuple[int, int], const_size: tuple[int, int], blocks: int
) -> None:
    assert block_sizes(*size) == (const_size, blocks)
    config = replace(TINY, widths=(), channel_base=256, channel_max=8)
    networks = build_networks(config, (3, *size), (), None, 0)
    assert networks.generator.config.channels == {k: min(8, 256 // (const_size[0] << k)) or 1 for k in range(blocks)}
    image = networks.generator.synthesize(networks.generator.map(torch.randn(2, 8))).image
    assert tuple(image.shape[1:]) == (3, *size)
    assert networks.discriminator(image).shape == (2, 1)


def test_training_goes_through_sizes_one_after_another() -> None:
    images = make_images(16, 16)
    start = None
    for factor in (4, 2, 1):
        part = ShrunkImages(images, factor)
        assert part.shape == (3, 16 // factor, 16 // factor)
        training = GanTraining(part, TINY, start=start)
        list(training.train())
        start = Start(training.generator(GeneratorInfo("stage"), colour=False), training.players.discriminator)
    assert start is not None
    assert start.generator.resolution == (16, 16)
    half = ShrunkImages(images, 2).read([5])
    assert torch.equal(half, torch.nn.functional.avg_pool2d(images.read([5]).float(), 2).round().byte())
    assert len({ShrunkImages(images, factor).digest for factor in (1, 2, 4)}) == 3
    with pytest.raises(GeneratorError, match="expected a power of two that divides"):
        ShrunkImages(images, 3)


def test_snapshot_of_nvidia_is_trained_on(shared: Path) -> None:
    path = shared / "golden" / "stylegan2_training" / "network-snapshot-000000.pkl"
    with opened(path, Limits(), never_stop) as content:
        discriminator = read_discriminator(content)
        read = STYLEGAN2.read_checkpoint(content, Answers())
    assert discriminator is not None
    assert read is not None
    assert isinstance(read.generator, StyleGAN2Generator)
    images = make_images(16, 16, classes=3)
    names = ("0", "1", "2", "3")
    images = TensorImages(images.images, torch.arange(24) % 4, names)
    training = GanTraining(images, TINY, start=Start(read.generator, discriminator, classes=names))
    assert training.new == ()
    z, c = torch.randn(4, 32), torch.eye(4)
    expected = read.generator.network
    torch.testing.assert_close(
        training.players.ema.synthesize(training.players.ema.map(z, c)).image,
        expected.synthesize(expected.map(z, c)).image,
    )
    list(training.train())
