"""Composition by content: at least so many images that show a class, by its predicted area.

Nothing can steer towards what the generator never draws. So prevalence is looked at first (:func:`prevalence`), how
many candidates to draw follows from it (:func:`candidates_wanted`), and what cannot be met is refused with numbers.
:mod:`core.sampling.selection` then chooses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.candidates import PILOT
from core.errors import Problem, SamplingError
from core.sampling.candidates import Block, Candidates

GROWTH = 4
"""Candidates grow so many fold at most before prevalence is looked at again: a few of them tell little."""
_CONFIDENCE = 0.9500042097
"""The probability within 1.96 standard deviations. Exactly 0.95 would change the number of candidates of some seeds."""


@dataclass(frozen=True)
class Demand:
    """At least ``min_fraction`` of the images show ``class_id`` on at least ``min_area`` of their pixels."""

    class_id: int
    min_fraction: float | Fraction
    min_area: float = 0.001
    name: str = ""
    """Of the class, for messages."""

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.min_fraction <= 1:
            problems.append(Problem("not above 0 and at most 1", "min_fraction"))
        if not 0 < self.min_area <= 1:
            problems.append(Problem("not above 0 and at most 1", "min_area"))
        if problems:
            raise SamplingError("invalid class requirement", problems)

    def __str__(self) -> str:
        return f"class {self.name!r}" if self.name else f"class {self.class_id}"

    def needed(self, count: int) -> int:
        """Images of ``count`` that have to show the class; the fraction counts as the decimal it is written as."""
        exact = self.min_fraction if isinstance(self.min_fraction, Fraction) else Fraction(repr(self.min_fraction))
        return ceil(count * exact)

    def counts(self, block: Block) -> NDArray[np.bool_]:
        """Which candidates show the class, bool [B]."""
        shows: NDArray[np.bool_] = block.areas[:, self.class_id] >= self.min_area
        return shows


@dataclass(frozen=True)
class ImageClassDemand:
    """At least ``least`` images of one class of a conditional generator, whose classes take turns by index.

    ``number``: place of the class among the ``classes`` that take turns. ``ranges``: (first, last + 1) of the indices
    of the candidates, ascending.
    """

    number: int
    classes: int
    least: int
    ranges: tuple[tuple[int, int], ...]
    name: str = ""
    """Of the class, for messages."""

    def __str__(self) -> str:
        return f"image class {self.name!r}"

    def needed(self, count: int) -> int:  # noqa: ARG002 - the number does not depend on the size of the dataset
        """Images that have to be of the class."""
        return self.least

    def counts(self, block: Block) -> NDArray[np.bool_]:
        """Return which candidates are of the class, bool [B]."""
        lengths = [stop - start for start, stop in self.ranges]
        firsts = np.cumsum([0, *lengths[:-1]])
        at = np.searchsorted(firsts, block.places, "right") - 1
        indices = np.array([start for start, _ in self.ranges])[at] + block.places - firsts[at]
        found: NDArray[np.bool_] = indices % self.classes == self.number
        return found


Requirement = Demand | ImageClassDemand
"""Something that a number of the images has to show or be."""


@dataclass(frozen=True)
class Prevalence:
    """How often a generator draws what is asked for: ``shown`` of ``images`` are it, and ``needed`` have to be.

    ``what``: a class, or the limit of uncertainty.
    """

    what: str
    needed: int
    images: int
    shown: int

    @property
    def share(self) -> float:
        """The estimate."""
        return self.shown / self.images if self.images else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the share (Wilson's score); 0 to 1 without images."""
        if not self.images:
            return 0.0, 1.0
        # Imported here because it takes a second, and jobs without requirements never need it.
        from scipy.stats import binomtest

        found = binomtest(self.shown, self.images).proportion_ci(_CONFIDENCE, "wilson")
        return float(found.low), float(found.high)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        low, high = self.interval
        return {**vars(self), "share": self.share, "low": low, "high": high}


def prevalence(
    candidates: Candidates, count: int, demands: Sequence[Requirement], max_uncertainty: float = inf
) -> list[Prevalence]:
    """What candidates show of each demand on a dataset of ``count`` images, those above ``max_uncertainty`` not
    counted; the last row, where there is such a limit, says how many are not above it.
    """
    images, usable, shown = 0, 0, [0] * len(demands)
    for block in candidates.blocks():
        certain = block.scores <= max_uncertainty
        images += len(certain)
        usable += int(certain.sum())
        for number, demand in enumerate(demands):
            shown[number] += int((demand.counts(block) & certain).sum())
    rows = [
        Prevalence(str(demand), demand.needed(count), images, seen) for demand, seen in zip(demands, shown, strict=True)
    ]
    if max_uncertainty < inf:
        rows.append(Prevalence(f"uncertainty up to {max_uncertainty:g}", count, images, usable))
    return rows


def candidates_wanted(usual: int, seen: Sequence[Prevalence], most: int) -> int:
    """How many candidates there should be: ``usual``, or so many that what is short is met with good hope, by the lower
    end of its prevalence. Where that is more than were looked at, look again when they are drawn.

    ``most``: the bound on tries. Raises :class:`SamplingError`, naming everything that ``most`` candidates did not
    meet, or will not by the upper end of its prevalence, or that none of :data:`PILOT` showed.
    """
    problems, wanted = [], usual
    for row in seen:
        low, high = row.interval
        if row.shown >= row.needed:
            continue
        never = not row.shown and row.images >= PILOT
        if row.images >= most or row.needed > most * high or never:
            problems.append(_refusal(row, most, high))
        else:
            hoped = ceil(row.needed / max(low, 1e-9))
            wanted = max(wanted, min(hoped, GROWTH * row.images, most))
    if problems:
        raise SamplingError("the generator rarely or never draws a requested class", problems)
    return wanted


def _refusal(row: Prevalence, most: int, high: float) -> Problem:
    seen = f"{row.shown} of {row.images} drawn images are it (at most {high:.2%} of all that it draws)"
    return Problem(f"{row.needed} images are needed and {most} may be drawn; {seen}", row.what)
