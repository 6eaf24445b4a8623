"""Comparison of arms over repeats: confidence intervals of the gain of a dataset, overall and by part.

The interval covers training seeds and test images. Seeds: each arm is trained R times, and the variance of its mean is
that of its repeats over R (Welch: arms of unequal variance, degrees of freedom by Satterthwaite; 8 for two alike arms
of 5 repeats, where paired differences have 4). Images: the same test images judge every arm, so the variance of the
difference is that of its values over bootstrap resamples of the images, the same resamples for all arms.

Both choices among arms are made after the scores are known, so the tails are corrected for them (Bonferroni): the lower
tail for the number of candidates, the upper tail for the number of baselines. See docs/adr/0011-verdicts.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, inf, isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from core.evaluation.intervals import Interval, t_quantile

TAIL = 0.025
"""Error rate of each side: two together make the usual 95 %."""
POWER = 0.8
MOST_REPEATS, MOST_IMAGES = 200, 100_000
"""Plans beyond these are not given: the difference is then too small to matter."""


@dataclass(frozen=True)
class Resampled:
    """Scores of an arm over bootstrap resamples of its test images; equal resamples for all arms of an evaluation.

    Attributes:
        parts: float64 [R, D, K] scores by repeat, resample and part; NaN where a part does not occur.
        shown: int64 [K], test images that show each part.
        images: number of test images.
    """

    parts: NDArray[np.float64]
    shown: NDArray[np.int64]
    images: int


@dataclass(frozen=True)
class ArmScores:
    """One way of training, over repeats. ``parts``: float64 [R, K], the score of each class (keypoint, depth), NaN
    where it does not occur. ``more``: further scores by name, one a repeat. ``resampled``: None leaves the variance of
    the test images out.
    """

    name: str
    parts: NDArray[np.float64]
    more: Mapping[str, Sequence[float]] = field(default_factory=dict)
    resampled: Resampled | None = None

    @cached_property
    def means(self) -> list[float]:
        """Mean over the parts that occur, by repeat."""
        return [float(one) for one in np.nanmean(self.parts, axis=1)]

    @property
    def mean(self) -> float:
        """Mean over repeats."""
        return float(np.mean(self.means))


@dataclass(frozen=True)
class Estimate:
    """A difference of two arms.

    Attributes:
        mean: of the first arm minus of the second.
        repeats: the smaller number of repeats of both.
        seeds: (variance of one repeat, degrees of freedom) of each arm.
        images: variance by the test images, and its degrees of freedom.
    """

    mean: float
    repeats: int
    seeds: tuple[tuple[float, int], ...]
    images: tuple[float, int] = (0.0, 1)

    def half_width(self, tail: float, repeats: float | None = None, more_images: float = 1.0) -> float:
        """Distance from the mean to the bound that leaves out ``tail``; infinite where a variance is not known.

        ``repeats`` and ``more_images`` (a factor): as if there were so many.
        """
        terms = self._terms(repeats, more_images)
        if any(degrees < 1 for _, degrees in terms):
            return inf
        variance = sum(value for value, _ in terms)
        if variance == 0:
            return 0.0
        degrees = variance**2 / sum(value**2 / degrees for value, degrees in terms)
        return t_quantile(1 - tail, degrees) * sqrt(variance)

    def low(self, tail: float) -> float:
        """Lower bound that the true difference is below with probability ``tail`` at most."""
        return self.mean - self.half_width(tail)

    def high(self, tail: float) -> float:
        """Upper bound, in the same way."""
        return self.mean + self.half_width(tail)

    def repeats_to_show(self, tail: float) -> int | None:
        """Repeats with which a true difference of this mean shows four times in five; None where that takes more than
        :data:`MOST_REPEATS`, or no number suffices.
        """
        return next((n for n in range(2, MOST_REPEATS + 1) if self._tells(tail, repeats=n)), None)

    def images_to_show(self, tail: float, count: int) -> int | None:
        """The same in test images, of which there are ``count``."""
        factor = 1.0
        while count * factor <= MOST_IMAGES:
            if self._tells(tail, more_images=factor):
                return ceil(count * factor)
            factor *= 1.1
        return None

    def _tells(self, tail: float, repeats: float | None = None, more_images: float = 1.0) -> bool:
        needed = sum(self.half_width(one, repeats, more_images) for one in (tail, 1 - POWER))
        return abs(self.mean) >= needed and isfinite(needed)

    def _terms(self, repeats: float | None, more_images: float) -> list[tuple[float, float]]:
        """Parts of the mean's variance, each with its degrees of freedom."""
        count = self.repeats if repeats is None else repeats
        degrees = [(variance, known if repeats is None else count - 1) for variance, known in self.seeds]
        value, images = self.images
        terms: list[tuple[float, float]] = [(variance / count, known) for variance, known in degrees]
        return [*terms, (value / more_images, images * more_images)] if value else terms


def difference(first: ArmScores, second: ArmScores, part: int | None = None) -> Estimate | None:
    """``first - second``, of the mean over parts or of one part; None where that part has no score."""
    values = [_finite(arm, part) for arm in (first, second)]
    if not all(len(one) for one in values):
        return None
    seeds = tuple((float(one.var(ddof=1)) if len(one) > 1 else 0.0, len(one) - 1) for one in values)
    mean = float(values[0].mean() - values[1].mean())
    return Estimate(mean, min(len(one) for one in values), seeds, _images(first, second, part))


@dataclass(frozen=True)
class Comparison:
    """The gain of the best candidate over the strongest baseline.

    ``interval`` is one of the difference between the truly best candidate and the truly strongest baseline, whichever
    they are: each end leaves out :data:`TAIL` at most. ``winner``: the candidate that the lower end belongs to where
    that is above 0, else the one of the highest mean. ``strongest``: the baseline of the highest mean.
    """

    winner: ArmScores
    strongest: ArmScores
    interval: Interval
    candidates: int
    baselines: int

    @cached_property
    def estimate(self) -> Estimate:
        """The difference of the two."""
        found = difference(self.winner, self.strongest)
        assert found is not None, "a mean over parts"
        return found

    @property
    def tail(self) -> float:
        """Error rate of the end of the interval that lies towards 0."""
        return TAIL / (self.candidates if self.estimate.mean > 0 else self.baselines)


def compare(candidates: Sequence[ArmScores], baselines: Sequence[ArmScores]) -> Comparison:
    """Compare arms that learn from a dataset with arms that do not; at least one of each."""
    lows: list[float] = []
    highs = [-inf] * len(baselines)
    for candidate in candidates:
        found = [difference(candidate, one) for one in baselines]
        bounds = [(one.low(TAIL / len(candidates)), one.high(TAIL / len(baselines))) for one in found if one]
        lows.append(min(low for low, _ in bounds))
        highs = [max(high, other) for high, (_, other) in zip(highs, bounds, strict=True)]
    best, strongest = (max(arms, key=lambda arm: arm.mean) for arms in (candidates, baselines))
    mean = best.mean - strongest.mean
    repeats = min(len(arm.parts) for arm in (*candidates, *baselines))
    winner = candidates[int(np.argmax(lows))] if max(lows) > 0 else best
    interval = Interval(mean, max(lows), min(highs), repeats)
    return Comparison(winner, strongest, interval, len(candidates), len(baselines))


def part_intervals(comparison: Comparison, parts: Sequence[int]) -> dict[int, Interval | None]:
    """For each part, winner minus strongest baseline, with an interval corrected for the number of parts and of the
    baselines that the strongest was chosen from; None where the part has no score.
    """
    tail = TAIL / (max(1, len(parts)) * comparison.baselines)
    found: dict[int, Interval | None] = {}
    for part in parts:
        one = difference(comparison.winner, comparison.strongest, part)
        found[part] = None if one is None else Interval(one.mean, one.low(tail), one.high(tail), one.repeats)
    return found


def _finite(arm: ArmScores, part: int | None) -> NDArray[np.float64]:
    values = np.asarray(arm.means) if part is None else arm.parts[:, part]
    return values[np.isfinite(values)]


def _images(first: ArmScores, second: ArmScores, part: int | None) -> tuple[float, int]:
    """Variance of the difference by the test images, and its degrees of freedom (0: not known)."""
    if first.resampled is None or second.resampled is None:
        return 0.0, 1
    one, other = (
        np.nanmean(arm.parts, axis=2) if part is None else arm.parts[:, :, part]
        for arm in (first.resampled, second.resampled)
    )
    apart = one.mean(0) - other.mean(0)
    apart = apart[np.isfinite(apart)]
    shown = first.resampled.images if part is None else int(first.resampled.shown[part])
    if len(apart) < 2 or shown < 2:
        return inf, 0
    # A bootstrap variance is that of the images divided by their number: too small by one of them.
    return float(apart.var(ddof=1)) * shown / (shown - 1), shown - 1
