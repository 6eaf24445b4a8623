"""Confidence intervals: paired repeats by Student's t, pooled scores by the bootstrap over images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval. ``repeats``: what the width comes from."""

    mean: float
    low: float
    high: float
    repeats: int

    def to_json(self) -> dict[str, Any]:
        """JSON values; null where a bound is not known."""
        return {
            "mean": self.mean,
            "low": self.low if np.isfinite(self.low) else None,
            "high": self.high if np.isfinite(self.high) else None,
            "repeats": self.repeats,
        }


def paired_interval(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean of ``first - second`` over paired repeats (same seeds, same test images), with Student's t interval.

    With one repeat the interval is infinite: nothing is known of the spread. Raises ValueError unless both have the
    same length of at least one.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} repeats do not make pairs")
    return mean_interval(np.asarray(first, np.float64) - np.asarray(second, np.float64), confidence)


def mean_interval(values: Sequence[float] | NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """Mean of independent repeats with Student's t interval."""
    given = np.asarray(values, np.float64)
    mean, count = float(given.mean()), len(given)
    if count == 1:
        return Interval(mean, float("-inf"), float("inf"), 1)
    half = t_quantile((1 + confidence) / 2, count - 1) * float(given.std(ddof=1)) / sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    count: int,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over ``count`` images: ``statistic(indices)`` of resampled indices, int64 [count].

    Draws whose statistic is not a number (a class that was not drawn) are left out, for which `scipy.stats.bootstrap`
    has no option: one such draw makes its interval NaN.
    """
    random = np.random.default_rng(seed)
    values = np.array([statistic(random.integers(0, count, count)) for _ in range(draws)])
    values = values[np.isfinite(values)]
    mean = float(statistic(np.arange(count)))
    if not len(values):
        return Interval(mean, float("-inf"), float("inf"), count)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(low), float(high), count)


def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t with ``degrees`` degrees of freedom."""
    return float(stdtrit(degrees, probability))
