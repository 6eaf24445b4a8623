"""Error rates and power of the verdict, by simulation of the gates that evaluations call."""

import numpy as np
import pytest

from core.evaluation.arm_comparison import ArmScores, Estimate, Resampled, compare, difference, part_intervals
from core.evaluation.gates import every_part, useful, verdict

PARTS = {one: f"class {one}" for one in range(10)}
SPREAD = np.array([0.02, 0.026, 0.031, 0.037, 0.043, 0.049, 0.054, 0.06, 0.15, 0.15])
"""Standard deviation by class of the difference of two arms in one repeat; their mean over classes varies by 0.02."""
REPEATS, OVERALL, TRIALS = 5, 0.02, 250


def arm(random: np.random.Generator, name: str, better: float, overall: float = OVERALL) -> ArmScores:
    """An arm of 5 repeats. Noise by class, with its mean over classes replaced by one of the wanted deviation."""
    noise = SPREAD / np.sqrt(2) * random.standard_normal((REPEATS, 10))
    common = overall / np.sqrt(2) * random.standard_normal((REPEATS, 1))
    return ArmScores(name, 0.5 + better + noise - noise.mean(1, keepdims=True) + common)


def decided(random: np.random.Generator, better: float, baselines: tuple[float, ...], overall: float = OVERALL) -> str:
    """The verdict of one evaluation; other gates are passed or do not decide."""
    candidates = [arm(random, name, better, overall) for name in ("generated", "generated, then fine-tuned")]
    others = [arm(random, f"baseline {i}", one, overall) for i, one in enumerate(baselines)]
    found = compare(candidates, others)
    return verdict([useful(found), every_part(found, PARTS)])[0]


def shares(better: float, baselines: tuple[float, ...], overall: float = OVERALL) -> dict[str, float]:
    random = np.random.default_rng([17, len(baselines)])
    given = [decided(random, better, baselines, overall) for _ in range(TRIALS)]
    return {word: given.count(word) / TRIALS for word in ("use", "do not use", "not shown")}


@pytest.mark.parametrize("baselines", [(0.0,), (0.0, 0.0, 0.0), (0.0, -0.06, -0.1)])
def test_equal_dataset_is_rarely_called_useful_or_harmful(baselines: tuple[float, ...]) -> None:
    found = shares(0.0, baselines)
    assert found["use"] <= 0.05
    assert found["do not use"] <= 0.05


@pytest.mark.parametrize("baselines", [(0.0,), (0.0, 0.0, 0.0), (0.0, -0.06, -0.1)])
def test_gain_and_loss_of_five_points_are_shown_four_times_in_five(baselines: tuple[float, ...]) -> None:
    assert shares(0.05, baselines)["use"] >= 0.8
    assert shares(-0.05, baselines)["do not use"] >= 0.8


def test_error_rates_hold_and_power_remains_where_arms_vary_more() -> None:
    """By 2.8 points a pair: an overall deviation of 2 points for each arm."""
    assert max(shares(0.0, (0.0, 0.0), 0.028)[word] for word in ("use", "do not use")) <= 0.05
    assert shares(0.05, (0.0, 0.0), 0.028)["use"] >= 0.8


def test_error_rates_hold_where_test_images_vary_too() -> None:
    """Image effects are shared by the repeats of an arm, so that seeds alone would show differences that are none."""
    random = np.random.default_rng(3)
    count, draws, trials = 40, 60, 200

    def judged(name: str) -> ArmScores:
        images = 0.12 * random.standard_normal((1, count, 1))
        scores = 0.5 + images + 0.03 * random.standard_normal((REPEATS, count, 1))
        again = scores[:, picks].mean(2)
        return ArmScores(name, scores.mean(1), resampled=Resampled(again, np.array([count]), count))

    given = {True: 0, False: 0}
    for _ in range(trials):
        picks = random.integers(0, count, (draws, count))
        arms = [judged(name) for name in ("generated", "labels")]
        blind = [ArmScores(one.name, one.parts) for one in arms]
        for seen, (first, second) in ((True, arms), (False, blind)):
            given[seen] += useful(compare([first], [second])).state != "unknown"
    assert given[True] / trials <= 0.07  # both sides of 2.5 %, and 2 points for 200 trials
    assert given[False] / trials > 0.3


def test_interval_of_two_like_arms_has_eight_degrees_of_freedom() -> None:
    one, other = (ArmScores(name, np.array(values)[:, None]) for name, values in (
        ("a", [0.5, 0.6, 0.7, 0.8, 0.9]), ("b", [0.4, 0.5, 0.6, 0.7, 0.8]),
    ))  # fmt: skip
    found = difference(one, other)
    assert found is not None
    # Each variance is 0.025: sqrt(0.025 / 5 * 2) = 0.1, and t of 8 degrees at 97.5 % is 2.306.
    assert found.low(0.025) == pytest.approx(0.1 - 0.2306, abs=1e-4)
    assert found.high(0.025) == pytest.approx(0.1 + 0.2306, abs=1e-4)


def test_plan_counts_repeats_that_would_show_a_difference() -> None:
    found = Estimate(0.01, 5, ((2e-4, 4), (2e-4, 4)))
    needed = found.repeats_to_show(0.025)
    assert needed is not None
    # By the normal approximation (1.96 + 0.84)² · 4e-4 / 0.01² = 31.4.
    assert 31 <= needed <= 34
    limited = Estimate(0.01, 5, ((2e-4, 4), (2e-4, 4)), images=(1e-4, 39))
    assert limited.repeats_to_show(0.025) is None
    more = limited.images_to_show(0.025, 40)
    assert more is None, "the seeds alone hide the difference at 5 repeats"
    assert (Estimate(0.03, 5, ((2e-4, 4), (2e-4, 4)), images=(4e-4, 39)).images_to_show(0.025, 40) or 0) > 40


def test_a_part_that_never_occurs_or_shows_in_one_image_is_not_decided() -> None:
    parts = np.array([[0.5, np.nan, 0.9], [0.6, np.nan, 0.9]])
    again = Resampled(np.tile(parts[:, None], (1, 30, 1)), np.array([9, 0, 1]), 9)
    worse = ArmScores("generated", parts - 0.5, resampled=Resampled(again.parts - 0.5, again.shown, 9))
    found = compare([worse], [ArmScores("labels", parts, resampled=again)])
    intervals = part_intervals(found, [0, 1, 2])
    assert intervals[1] is None
    assert intervals[2] is not None
    assert intervals[2].high == np.inf
