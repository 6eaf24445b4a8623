"""Training of perceptual networks: from samples, from images, without classes; it continues where it stopped."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import InversionError, ResumeError, Stopped
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator, StyleGAN2Sampler
from core.generators.stylegan2.network import Network
from core.image_arrays import to_float
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk, load_perceptual, save_perceptual
from core.run import Run
from core.training.encoder_targets import image_source
from core.training.perceptual import train_perceptual
from core.training.perceptual_config import PerceptualTrainingConfig, trunk_stages
from core.training.perceptual_objectives import Repair, augmented, damaged

QUICK = PerceptualTrainingConfig(steps=12, batch=4, log_every=4, checkpoint_every=5)
ALL = dataclasses.replace(QUICK, instance_weight=0.5, feature_weight=0.5)


def network(classes: int = 0, channels: int = 3) -> StyleGAN2Sampler:
    torch.manual_seed(0)
    config = StyleGAN2Config(
        resolution=(16, 16),
        channels={0: 16, 1: 12, 2: 8},
        z_dim=8,
        w_dim=16,
        c_dim=classes,
        mapping_layers=2,
        mapping_lr_multiplier=1.0,
        image_channels=channels,
    )
    made = Network(config).eval().requires_grad_(False)
    return StyleGAN2Generator(made, GeneratorInfo("tiny", options={"noise": "none"})).bind()


@pytest.fixture(scope="module")
def sampler() -> StyleGAN2Sampler:
    return network()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (20, 3, 16, 16), generator=torch.Generator().manual_seed(3)).to(torch.uint8)


def weights(perceptual: DomainPerceptual) -> dict[str, Tensor]:
    return perceptual.trunk.state_dict()


@pytest.mark.parametrize("objective", ["repair", "instance", "feature"])
def test_each_objective_becomes_smaller(sampler: StyleGAN2Sampler, objective: str) -> None:
    only = {f"{name}_weight": float(name == objective) for name in ("repair", "instance", "feature")}
    config = PerceptualTrainingConfig(steps=60, batch=8, log_every=20, **only)
    trained = train_perceptual("tiny-v1", sampler, None, config)
    assert [point["step"] for point in trained.curve] == [20.0, 40.0, 60.0]
    assert trained.curve[-1][objective] < 0.9 * trained.curve[0][objective]


def test_trained_network_is_frozen_and_read_back(sampler: StyleGAN2Sampler, images: Tensor, tmp_path: Any) -> None:
    perceptual = train_perceptual("tiny-v1", sampler, None, QUICK).perceptual
    assert not any(one.requires_grad for one in perceptual.parameters())
    save_perceptual(tmp_path, perceptual)
    read = load_perceptual(tmp_path)
    assert (read.name, read.trunk.stages) == ("tiny-v1", trunk_stages((16, 16)))
    seen = to_float(images[:2])
    features = perceptual.features(seen)
    assert torch.equal(perceptual.compare(features, features), torch.zeros(2))
    assert bool((perceptual.distance(seen.flip(0), features) > 0).all())


@pytest.mark.parametrize("stop_after", [3, 5, 9])
@pytest.mark.parametrize("with_images", [False, True])
def test_resumed_training_ends_at_the_same_weights(
    sampler: StyleGAN2Sampler, images: Tensor, stop_after: int, with_images: bool
) -> None:
    source = image_source(images, 0, False) if with_images else None
    unbroken = train_perceptual("tiny-v1", sampler, source, ALL)
    states: list[bytes] = []
    done: list[int] = []
    run = Run(
        checkpoint=states.append, progress=lambda step, _: done.append(step), should_stop=lambda: done[-1] == stop_after
    )
    with pytest.raises(Stopped):
        train_perceptual("tiny-v1", sampler, source, ALL, run=run)
    resumed = train_perceptual("tiny-v1", sampler, source, ALL, run=Run(resume_from=states[-1]))
    found, wanted = weights(resumed.perceptual), weights(unbroken.perceptual)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert resumed.curve == unbroken.curve


def test_state_of_another_training_is_refused(sampler: StyleGAN2Sampler) -> None:
    states: list[bytes] = []
    train_perceptual("tiny-v1", sampler, None, QUICK, run=Run(checkpoint=states.append))
    for other, seed in ((dataclasses.replace(QUICK, batch=5), 0), (QUICK, 1)):
        with pytest.raises(ResumeError, match="another"):
            train_perceptual("tiny-v1", sampler, None, other, run=Run(seed=seed, resume_from=states[-1]))
    with pytest.raises(ResumeError, match="cannot be read"):
        train_perceptual("tiny-v1", sampler, None, QUICK, run=Run(resume_from=states[-1][:100]))


def test_images_alone_serve_where_there_is_no_generator_yet(images: Tensor) -> None:
    trained = train_perceptual("early-v1", None, image_source(images, 0, False), QUICK, size=(16, 16))
    assert trained.curve[-1]["repair"] > 0
    with pytest.raises(InversionError) as caught:
        train_perceptual("early-v1", None, None, dataclasses.replace(QUICK, feature_weight=1.0))
    assert {problem.pointer for problem in caught.value.problems} == {"images", "size", "feature_weight"}


@pytest.mark.parametrize(("classes", "channels"), [(3, 3), (0, 1)])
def test_conditional_and_grey_generators_are_sampled(classes: int, channels: int) -> None:
    trained = train_perceptual("tiny-v1", network(classes, channels), None, ALL)
    assert all(bool(one.isfinite().all()) for one in trained.perceptual.trunk.parameters())


def test_real_images_are_brought_to_the_generators_size(sampler: StyleGAN2Sampler) -> None:
    large_and_grey = torch.randint(0, 256, (6, 1, 32, 32)).to(torch.uint8)

    def source(step: int, count: int) -> Tensor:
        return large_and_grey[:count]

    train_perceptual("tiny-v1", sampler, source, QUICK)
    with pytest.raises(InversionError, match="something else"):
        train_perceptual("tiny-v1", sampler, lambda step, count: torch.zeros(count, 3, 16, 16), QUICK)


def test_large_images_are_cropped(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    source = image_source(images.repeat_interleave(4, 2).repeat_interleave(4, 3), 0, False)
    seen: list[tuple[int, ...]] = []
    loss = Repair.loss

    def noted(self: Repair, trunk: PerceptualTrunk, batch: Tensor, random: torch.Generator) -> Tensor:
        seen.append(tuple(batch.shape[2:]))
        return loss(self, trunk, batch, random)

    monkeypatch.setattr(Repair, "loss", noted)
    config = dataclasses.replace(QUICK, crop=16)
    train_perceptual("tiny-v1", None, source, config, size=(64, 64))
    assert set(seen) == {(16, 16)}


@pytest.mark.parametrize(
    ("size", "count"), [((16, 16), 2), ((64, 64), 4), ((256, 256), 6), ((1024, 512), 8), ((4, 4), 1), ((96, 64), 4)]
)
def test_stages_halve_the_image_until_eight_pixels_are_left(size: tuple[int, int], count: int) -> None:
    assert len(trunk_stages(size)) == count


def test_damage_and_augmentation_depend_on_the_random_numbers_alone(images: Tensor) -> None:
    seen = to_float(images)
    for change in (damaged, augmented):
        first, again, other = (change(seen, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert first.shape == seen.shape


def test_settings_that_cannot_be_used_are_all_named() -> None:
    with pytest.raises(InversionError) as caught:
        PerceptualTrainingConfig(steps=0, repair_weight=-1.0, samples=2.0, precision="half")  # type: ignore[arg-type]
    assert {problem.pointer for problem in caught.value.problems} == {"steps", "repair_weight", "samples", "precision"}
