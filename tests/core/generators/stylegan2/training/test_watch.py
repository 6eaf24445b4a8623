"""The collapse watch: each sign alone, and whole trainings that collapse or do not."""

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from core.evaluation.metrics.distribution import Manifold
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training.images import TensorImages
from core.generators.stylegan2.training.trainer import ProgressiveTrainer
from core.generators.stylegan2.training.watch import ADVICE, Alarm, CollapseWatch, class_spread, variety
from core.generators.training import TrainingData, TrainingPlan
from core.run import Run

HEALTHY = {"real_logit": 0.4, "fake_logit": -0.5, "real_sign": 0.3}
GOOD = Manifold(precision=0.6, recall=0.5, density=0.5, coverage=0.5)


def last_alarms(points: list[dict[str, Any]]) -> list[str]:
    watch, alarms = CollapseWatch(), ()
    for point in points:
        alarms = watch.check({**HEALTHY, **point.get("figures", {})}, point.get("variety"), point.get("spread", ()))
    return [alarm.sign for alarm in alarms]


@pytest.mark.parametrize(
    ("sign", "point"),
    [
        ("saturated", {"figures": {"fake_logit": -84.0}}),
        ("saturated", {"figures": {"real_logit": 50.0}}),
        ("overfitted", {"figures": {"real_sign": 0.97}}),
        ("overfitted", {"figures": {"overfitting": 0.97, "p": 0.9}}),
        ("recall", {"variety": replace(GOOD, recall=0.01)}),
        ("spread", {"spread": [0.7, 0.01]}),
    ],
)
def test_sign_that_lasts_raises_an_alarm(sign: str, point: dict[str, Any]) -> None:
    assert last_alarms([point] * 2) == []
    assert last_alarms([point] * 3) == [sign]
    assert last_alarms([point, point, {"variety": GOOD}, point]) == []
    assert sign in ADVICE


def test_numbers_that_are_not_finite_raise_an_alarm_at_once() -> None:
    assert last_alarms([{"figures": {"generator_loss": float("nan")}}]) == ["not_finite"]
    assert last_alarms([{"figures": {"broken_gradients": 2.0}}]) == ["not_finite"]
    (alarm,) = CollapseWatch().check({"r1_penalty": float("inf")})
    assert alarm == Alarm("not_finite", "not finite: r1_penalty", ADVICE["not_finite"])


def test_signs_that_mean_nothing_yet_raise_none() -> None:
    assert last_alarms([{"figures": {"overfitting": 0.97, "p": 0.1}}] * 5) == []  # augmentation still rises
    far = replace(GOOD, precision=0.0, recall=0.9)
    assert last_alarms([{"variety": far}] * 3 + [{"variety": replace(GOOD, recall=0.2)}] * 5) == []
    assert last_alarms([{"variety": GOOD}] + [{"variety": replace(GOOD, recall=0.1)}] * 3) == ["recall"]


def test_points_without_a_measurement_neither_raise_nor_clear_recall() -> None:
    lost = {"variety": replace(GOOD, recall=0.01)}
    assert last_alarms([lost, {}, lost, {}, lost]) == ["recall"]


def test_watch_continues_from_its_json_values() -> None:
    watch = CollapseWatch()
    for _ in range(2):
        watch.check({**HEALTHY, "fake_logit": -50.0}, GOOD)
    values = asdict(watch)
    again = CollapseWatch(best_recall=values["best_recall"], beyond=values["beyond"])
    assert [alarm.sign for alarm in again.check({**HEALTHY, "fake_logit": -50.0})] == ["saturated"]


def test_spread_is_zero_for_a_generator_that_ignores_its_latents() -> None:
    torch.manual_seed(0)
    config = StyleGAN2Config((8, 8), {0: 4, 1: 4}, z_dim=8, w_dim=8, c_dim=3, mapping_layers=2)
    network = Network(config)
    assert class_spread(network).min() > 0.2
    with torch.no_grad():
        network.mapping.layers[0].weight[:, :8] = 0
    assert class_spread(network).tolist() == pytest.approx([0.0] * 3, abs=1e-4)
    plain = Network(replace(config, c_dim=0))
    assert class_spread(plain).shape == (1,)


def test_variety_of_copies_of_few_images_has_a_low_recall() -> None:
    random = torch.Generator().manual_seed(0)
    reals = torch.randint(0, 256, (120, 1, 8, 8), dtype=torch.uint8, generator=random)
    same = variety(reals, reals)
    few = variety(reals, reals[:8].repeat(15, 1, 1, 1))
    assert same.recall == 1.0
    assert few.precision == 1.0
    assert few.recall < 0.2


def blobs(seed: int) -> TensorImages:
    """Coloured spots at random places, three classes by colour, 16x16."""
    random = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(16) / 16, torch.arange(16) / 16, indexing="ij")
    classes = torch.arange(600) % 3
    x, y, size = (torch.rand(600, 1, 1, generator=random) * 0.6 + 0.2 for _ in range(3))
    spot = torch.exp(-((columns - x).square() + (rows - y).square()) / (2 * (size * 0.25).square()))
    colour = torch.rand(600, 3, 1, 1, generator=random) * 0.5
    colour[torch.arange(600), classes] += 0.5
    ground = torch.rand(600, 3, 1, 1, generator=random) * 0.3
    pixels = (ground + (colour - ground) * spot[:, None]) * 255
    return TensorImages(pixels.byte(), classes, ("red", "green", "blue"))


RECIPE: dict[str, Any] = {
    "batch": 16, "widths": [32, 32, 16], "latent_width": 32, "mapping_layers": 2, "discriminator_mapping_layers": 2,
    "ema_kimg": 0.3, "ema_rampup": None, "ada_kimg": 20.0, "points": 13, "probe_seconds": 0.0, "most_returns": 1,
    "early_stop": 0.0,
}  # fmt: skip


def trained(change: dict[str, float], seed: int) -> dict[str, Any]:
    """Report of a whole training at 16x16."""
    images = blobs(seed)
    held_out = TensorImages(images.images[:300], images.class_index[:300], images.classes)  # type: ignore[index]
    plan = TrainingPlan(RECIPE | change, kimg=5.2)
    trainer = ProgressiveTrainer(TrainingData(images, held_out), plan, Run(seed=seed))
    list(trainer.train())
    return trainer.report()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_healthy_trainings_raise_no_alarm(seed: int) -> None:
    report = trained({}, seed)
    assert report["reactions"] == []
    assert report["curves"][-1]["frechet"] < 0.5 * report["curves"][0]["frechet"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sign", "change"),
    [
        ("recall", {"generator_rate": 0.03}),
        ("saturated", {"generator_rate": 10.0, "discriminator_rate": 10.0}),
    ],
)
def test_forced_collapses_raise_an_alarm_and_return_to_an_earlier_state(sign: str, change: dict[str, float]) -> None:
    report = trained(change, 0)
    assert {reaction["sign"] for reaction in report["reactions"]} & {sign, "not_finite"}
    assert report["returns"] == 1
