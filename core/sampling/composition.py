"""Composition by content: at least so many images that show a class, chosen among candidates by predicted area.

Nothing can steer towards what the generator never draws. So prevalence is looked at first (:func:`prevalence`), the
candidates that a demand needs follow from it (:func:`candidates_for`), and what cannot be met is refused with numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import Problem, SamplingError
from core.sampling.filtering import keep_most_certain

_CONFIDENCE = 1.96


@dataclass(frozen=True)
class Demand:
    """At least ``min_fraction`` of the images show ``class_id`` on at least ``min_area`` of their pixels."""

    class_id: int
    min_fraction: float
    min_area: float = 0.001

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.min_fraction <= 1:
            problems.append(Problem("not above 0 and at most 1", "min_fraction"))
        if not 0 < self.min_area <= 1:
            problems.append(Problem("not above 0 and at most 1", "min_area"))
        if problems:
            raise SamplingError("this is nothing to ask of a dataset", problems)

    def needed(self, count: int) -> int:
        """Images of ``count`` that have to show the class; the fraction counts as the decimal it is written as."""
        return ceil(count * Fraction(repr(float(self.min_fraction))))


@dataclass(frozen=True)
class Prevalence:
    """How often a generator draws a class: ``shown`` of ``images``, with a 95 % interval (Wilson)."""

    class_id: int
    images: int
    shown: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The estimate."""
        return self.shown / self.images if self.images else 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**vars(self), "share": self.share}


def prevalence(areas: NDArray[np.floating], demands: Sequence[Demand]) -> list[Prevalence]:
    """What a sample of the stream shows of each demand. areas: float [N, K], a class's share of an image's pixels."""
    result = []
    for demand in demands:
        count, shown = len(areas), int((areas[:, demand.class_id] >= demand.min_area).sum())
        low, high = _wilson(shown, count)
        result.append(Prevalence(demand.class_id, count, shown, low, high))
    return result


def candidates_for(
    count: int, demands: Sequence[Demand], seen: Sequence[Prevalence], most: int, names: Sequence[str] = ()
) -> int:
    """Candidates to draw so that every demand is met with good hope: by the lower end of its prevalence.

    ``most``: the bound on tries. Raises :class:`SamplingError`, naming every class whose demand even the upper end of
    its prevalence cannot meet within ``most`` candidates. In between, ``most`` itself is returned.
    """
    problems, wanted = [], count
    for demand, found in zip(demands, seen, strict=True):
        needed = demand.needed(count)
        if needed > most * found.high or not found.shown:
            problems.append(_refusal(demand, found, needed, most, names))
        else:
            wanted = max(wanted, ceil(needed / max(found.low, 1e-9)))
    if problems:
        raise SamplingError("the generator does not draw enough of what is asked for", problems)
    return min(wanted, most)


def compose(
    scores: NDArray[np.float64], areas: NDArray[np.floating], count: int, demands: Sequence[Demand]
) -> NDArray[np.int64]:
    """Positions of ``count`` candidates that meet every demand, the most certain that do, ascending.

    scores: float64 [N], high = unsure. areas: float [N, K]. Demands are served from the rarest class on, each by the
    most certain images that show it, those already chosen counted; the rest is filled up with the most certain of all.
    One demand is met at the least possible uncertainty; several are met greedily. Without demands this is
    :func:`core.sampling.filtering.keep_most_certain`.

    Raises :class:`SamplingError` naming every demand that these candidates cannot meet, with the numbers.
    """
    if not demands:
        return keep_most_certain(scores, count)
    shows = {demand: areas[:, demand.class_id] >= demand.min_area for demand in demands}
    problems = [
        Problem(
            f"{int(shows[demand].sum())} of {len(scores)} candidates show it, and {demand.needed(count)} are needed",
            f"class {demand.class_id}",
        )
        for demand in demands
        if shows[demand].sum() < demand.needed(count)
    ]
    if problems:
        raise SamplingError("the candidates do not hold what is asked for", problems)
    chosen = np.zeros(len(scores), bool)
    order = np.argsort(scores, kind="stable")
    for demand in sorted(demands, key=lambda one: int(shows[one].sum())):
        missing = demand.needed(count) - int((chosen & shows[demand]).sum())
        chosen[[one for one in order if shows[demand][one] and not chosen[one]][: max(0, missing)]] = True
    if chosen.sum() > count:
        detail = f"together they need {int(chosen.sum())} images, since few show several of them; {count} are asked for"
        raise SamplingError("these demands exclude each other", [Problem(detail, "demands")])
    chosen[[one for one in order if not chosen[one]][: count - int(chosen.sum())]] = True
    if chosen.sum() < count:
        raise SamplingError("too few candidates", [Problem(f"{len(scores)} of which {count} shall be kept", "count")])
    return np.flatnonzero(chosen)


def _refusal(demand: Demand, found: Prevalence, needed: int, most: int, names: Sequence[str]) -> Problem:
    name = names[demand.class_id] if demand.class_id < len(names) else str(demand.class_id)
    seen = f"{found.shown} of {found.images} drawn images show it (at most {found.high:.2%} do)"
    return Problem(f"{needed} images are needed and {most} may be drawn; {seen}", f"class {name!r}")


def _wilson(shown: int, count: int) -> tuple[float, float]:
    if not count:
        return 0.0, 1.0
    share, z = shown / count, _CONFIDENCE
    middle = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
