"""Intervals against SciPy's tests, values of earlier releases, and known plans."""

import numpy as np
import pytest
from scipy import stats

from core.evaluation.intervals import bootstrap, mean_interval, paired_interval, t_quantile


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


def test_bootstrap_equals_that_of_scipy():
    values = np.random.default_rng(0).exponential(size=60)
    found = bootstrap(lambda pick: float(values[pick].mean()), 60, draws=4000)
    expected = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_bootstrap_leaves_out_draws_without_a_statistic():
    def statistic(pick):
        return float("nan") if 0 in pick else float(pick.mean())

    found = bootstrap(statistic, 3, draws=300)
    assert 1.0 <= found.low <= found.high <= 2.0


def test_quantiles_equal_those_of_earlier_releases():
    # Found by bisection and Gauss-Legendre quadrature, before SciPy was used.
    old = {(0.975, 1): 12.706204736174676, (0.975, 4): 2.7764451051977765, (0.8, 7): 0.8960296443137645}
    assert {key: t_quantile(*key) for key in old} == pytest.approx(old, rel=1e-9)


def test_pairs_are_needed():
    with pytest.raises(ValueError, match="pairs"):
        paired_interval([1.0], [])
