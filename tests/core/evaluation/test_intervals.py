"""Intervals against SciPy's distributions and known plans."""

import numpy as np
import pytest
from scipy import stats

from core.evaluation.intervals import bootstrap, mean_interval, paired_interval, repeats_needed, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 7, 30, 400])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.8, 0.975, 0.995])
def test_quantiles_of_t(degrees, probability):
    assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-6, abs=1e-9)


def test_paired_interval_is_that_of_scipy():
    first, second = [0.5, 0.6, 0.7, 0.65], [0.4, 0.55, 0.6, 0.62]
    found = paired_interval(first, second)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)
    assert found.repeats == 4


def test_one_repeat_says_nothing_of_the_spread():
    found = mean_interval([0.3])
    assert (found.mean, found.low, found.high) == (0.3, float("-inf"), float("inf"))
    assert found.to_json()["low"] is None


def test_bootstrap_of_a_mean_is_near_the_normal_interval():
    values = np.random.default_rng(0).standard_normal(400)
    found = bootstrap(lambda pick: float(values[pick].mean()), 400, draws=2000)
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_plans():
    # The textbook's: an effect of one standard deviation, 80 % power, 5 % two-sided.
    assert repeats_needed(1.0, 1.0) == 10
    assert repeats_needed(5.0, 5.0) == repeats_needed(1.0, 1.0)
    assert repeats_needed(0.5, 1.0) > repeats_needed(1.0, 1.0)
    with pytest.raises(ValueError, match="difference of 0"):
        repeats_needed(0.0, 1.0)


def test_pairs_are_needed():
    with pytest.raises(ValueError, match="pairs"):
        paired_interval([1.0], [])
