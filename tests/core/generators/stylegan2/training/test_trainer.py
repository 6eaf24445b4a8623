"""Whole trainings: sizes, budgets, points, the best state, returns after a collapse, interruptions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import GeneratorError, ResumeError, Stopped
from core.generators.families import trainer_of
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.training.images import TensorImages
from core.generators.stylegan2.training.stages import Stage, stages
from core.generators.stylegan2.training.trainer import ProgressiveTrainer
from core.generators.training import StartFiles, TrainingData, TrainingPlan, TrainingPoint
from core.run import Run

SETTINGS: dict[str, Any] = {
    "batch": 4, "widths": [8, 8, 8, 8], "latent_width": 8, "mapping_layers": 2, "discriminator_mapping_layers": 2,
    "precision": "float32", "ema_kimg": 0.02, "points": 4, "probe_seconds": 0.2, "ada_kimg": 1.0,
}  # fmt: skip
INFO = GeneratorInfo("trained", licence="CC0-1.0")


def spots(count: int = 48, side: int = 16, channels: int = 3, classes: int = 0, seed: int = 0) -> TensorImages:
    """Spots at random places."""
    random = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    x, y, size = (torch.rand(count, 1, 1, generator=random) * 0.6 + 0.2 for _ in range(3))
    spot = torch.exp(-((columns - x).square() + (rows - y).square()) / (2 * (size * 0.25).square()))
    colour = torch.rand(count, channels, 1, 1, generator=random)
    pixels = (spot[:, None] * colour * 255).byte()
    index = torch.arange(count) % classes if classes else None
    return TensorImages(pixels, index, tuple(f"class {number}" for number in range(classes)))


def data(**given: Any) -> TrainingData:
    return TrainingData(spots(**given), spots(**{**given, "count": 24, "seed": 1}))


def plan(kimg: float | None = 0.08, **given: Any) -> TrainingPlan:
    settings = {**SETTINGS, **given.pop("settings", {})}
    return TrainingPlan(settings, kimg=kimg, **given)


def finished(trainer: ProgressiveTrainer) -> list[TrainingPoint]:
    return list(trainer.train())


def weights(trainer: ProgressiveTrainer) -> list[Tensor]:
    players = trainer.training.players
    networks = (players.generator, players.ema, players.discriminator)
    best = trainer.generator(INFO).network.state_dict().values()
    return [*(tensor for network in networks for tensor in network.state_dict().values()), *best]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("resolution", "start", "expected"),
    [
        ((16, 16), 0, [(1, 1.0)]),
        ((32, 32), 0, [(2, 0.25), (1, 0.75)]),
        ((64, 64), 0, [(4, 0.05), (2, 0.2), (1, 0.75)]),
        ((64, 96), 32, [(2, 0.25), (1, 0.75)]),
        ((64, 64), 64, [(1, 1.0)]),
        ((128, 128), 0, [(8, 0.025), (4, 0.025), (2, 0.2), (1, 0.75)]),
    ],
)
def test_sizes_begin_at_sixteen_pixels_or_at_the_size_of_the_start(
    resolution: tuple[int, int], start: int, expected: list[tuple[int, float]]
) -> None:
    found = stages(resolution, True, start)
    assert [stage.factor for stage in found] == [factor for factor, _ in expected]
    assert [stage.share for stage in found] == pytest.approx([share for _, share in expected])
    assert stages(resolution, False, start) == (Stage(1, 1.0),)


@pytest.mark.slow
def test_training_goes_through_its_sizes_and_exports_the_best_state() -> None:
    progress: list[tuple[int, int]] = []
    run = Run(seed=2, progress=lambda done, total: progress.append((done, total)))
    trainer = ProgressiveTrainer(data(side=32), plan(0.16), run)
    assert trainer.seconds_left is None
    points = finished(trainer)
    assert {point.figures["size"] for point in points} == {16.0, 32.0}
    assert points[-1].figures["images"] == 160
    assert {"frechet", "recall", "spread", "generator_loss", "p", "r1_gamma"} <= points[0].figures.keys()
    assert points[-1].samples.shape[1:] == (3, 32, 32)
    report = trainer.report()
    assert report["ended"] == "the budget is spent"
    assert report["sizes"] == [[16, 16], [32, 32]]
    assert report["best"] == max((p.figures for p in points if p.best), key=lambda figures: figures["images"])
    assert all(done <= total for done, total in progress)
    generator = trainer.generator(INFO)
    assert generator.resolution == (32, 32)
    assert generator.info == INFO
    assert trainer.companions().keys() == {"discriminator.safetensors"}


def interrupted(
    make: Callable[[Run], ProgressiveTrainer], steps: int
) -> tuple[ProgressiveTrainer, list[TrainingPoint], int]:
    """Stop after every ``steps`` steps, and continue in a new trainer from the state."""
    state, points, restarts = None, list[TrainingPoint](), 0
    while True:
        left = [steps]

        def stop(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        trainer = make(Run(seed=3, resume_from=state, should_stop=stop))
        try:
            points += trainer.train()
            return trainer, points, restarts
        except Stopped:
            state, restarts = trainer.state(), restarts + 1


def test_interrupted_training_ends_at_the_weights_of_an_undisturbed_one() -> None:
    images, asked = data(side=32, channels=1, classes=2), plan(0.064, settings={"probe_seconds": 0.0})
    whole = ProgressiveTrainer(images, asked, Run(seed=3))
    expected = finished(whole)
    trainer, points, restarts = interrupted(lambda run: ProgressiveTrainer(images, asked, run), 3)
    assert restarts >= 3
    assert same(weights(whole), weights(trainer))
    assert [point.best for point in points] == [point.best for point in expected]
    for one, other in zip(points, expected, strict=True):
        assert {k: v for k, v in one.figures.items() if k != "seconds"} == {
            k: v for k, v in other.figures.items() if k != "seconds"
        }
    generator = trainer.generator(INFO)
    assert (generator.channels, generator.info.classes) == (3, ("class 0", "class 1"))
    with pytest.raises(ResumeError, match="another StyleGAN2 training"):
        ProgressiveTrainer(images, asked, Run(seed=4, resume_from=trainer.state()))


@pytest.mark.slow
def test_budget_in_seconds_ends_the_training_in_time() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.25
        return now[0]

    trainer = ProgressiveTrainer(data(side=32), plan(None, seconds=30.0, settings={"early_stop": 0.0}), Run(), clock)
    points = finished(trainer)
    assert 25 <= points[-1].figures["seconds"] <= 35
    assert trainer.report()["ended"] == "the budget is spent"
    assert trainer.seconds_left == 0
    assert {point.figures["size"] for point in points} == {16.0, 32.0}
    at_full_size = [p.figures["seconds"] for p in points if p.figures["size"] == 32]
    assert at_full_size[-1] - at_full_size[0] > 12


def test_generator_of_a_smaller_size_is_enlarged_when_it_is_the_best_so_far() -> None:
    trainer = ProgressiveTrainer(data(side=32), plan(0.16), Run(seed=2))
    with pytest.raises(GeneratorError, match="no point was measured yet"):
        trainer.generator(INFO)
    first = next(point for point in trainer.train() if point.best)
    assert first.figures["size"] == 16
    generator = trainer.generator(INFO)
    assert generator.resolution == (32, 32)
    assert trainer.companions() == {}


def test_trained_generator_is_trained_on_with_its_discriminator() -> None:
    grey = data(channels=1)
    first = ProgressiveTrainer(grey, plan(), Run())
    finished(first)
    start = StartFiles(first.generator(INFO), first.companions())
    again = ProgressiveTrainer(grey, plan(settings={"freeze_discriminator": 2}, start=start), Run())
    assert again.report()["new_weights"] == []
    best = first.best
    assert best is not None
    image = grey.held_out.read(range(4)).float() / 127.5 - 1
    discriminator = again.training.players.discriminator
    torch.testing.assert_close(discriminator(image.expand(-1, 3, -1, -1)), best.discriminator(image))
    finished(again)
    assert again.generator(INFO).channels == 3
    assert again.report()["begun_with"] == "trained"
    alone = ProgressiveTrainer(grey, plan(settings={"start_discriminator": False}, start=start), Run())
    fresh = alone.training.players.discriminator
    assert not torch.allclose(fresh(image.expand(-1, 3, -1, -1)), best.discriminator(image))


def test_too_few_images_and_two_budgets_are_refused_at_once() -> None:
    few = TrainingData(spots(count=3), spots(count=2))
    with pytest.raises(GeneratorError) as caught:
        ProgressiveTrainer(few, plan(seconds=5.0), Run())
    assert [problem.pointer for problem in caught.value.problems] == ["images.training", "images.held_out", "kimg"]
    with pytest.raises(GeneratorError, match="'vqgan' cannot be trained"):
        trainer_of("vqgan")


@pytest.mark.slow
def test_training_without_progress_ends_early() -> None:
    settings = {"generator_rate": 1e-9, "discriminator_rate": 1e-9, "early_stop": 0.3, "points": 12}
    trainer = ProgressiveTrainer(data(), plan(0.4, settings=settings), Run())
    finished(trainer)
    assert trainer.report()["ended"] == "no smaller distance to held-out images in 30% of the budget"
    assert trainer.report()["images_seen"] < 300


BROKEN: dict[str, Any] = {"generator_rate": 10.0, "discriminator_rate": 10.0, "points": 20, "early_stop": 0.0}


@pytest.mark.slow
def test_collapsed_training_returns_and_gives_up_after_so_many_returns() -> None:
    trainer = ProgressiveTrainer(data(), plan(0.4, settings={**BROKEN, "most_returns": 2}), Run())
    points = finished(trainer)
    report = trainer.report()
    assert report["returns"] == 2
    assert report["ended"] == "collapsed again after 2 returns to earlier states"
    actions = [reaction.action for point in points for reaction in point.reactions]
    assert any(action.startswith(("returned to", "began this size again")) for action in actions)
    assert actions[-1] == "ended the training with the best state so far"
    assert all(value == value for point in points for value in point.figures.values())
    advice = str(points[-1].reactions[-1])
    assert "To prevent it:" in advice


@pytest.mark.slow
def test_interrupted_training_that_returns_to_earlier_states_ends_at_the_same_weights() -> None:
    images = data()
    asked = plan(0.2, settings={**BROKEN, "probe_seconds": 0.0, "most_returns": 1})
    whole = ProgressiveTrainer(images, asked, Run(seed=3))
    expected = finished(whole)
    trainer, points, restarts = interrupted(lambda run: ProgressiveTrainer(images, asked, run), 3)
    assert restarts >= 3
    assert whole.report()["returns"] >= 1
    assert [point.reactions for point in points] == [point.reactions for point in expected]
    players, others = trainer.training.players, whole.training.players
    for one, other in zip(players.ema.state_dict().values(), others.ema.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
