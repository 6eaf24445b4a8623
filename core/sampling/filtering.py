"""Which candidates to keep: the most certain, exactly as many as were asked for (HandsOff section 3.3); and how many of
each class, where rare classes shall not be the ones that are thrown away.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from core.errors import Problem, SamplingError
from core.sampling.candidates import Candidates
from core.sampling.composition import Demand

RARE = Fraction(1, 100)
"""Share of the kept images up to which a class keeps every image that shows it."""


def candidates_needed(count: int, drop_fraction: float) -> int:
    """The smallest N of which ``count`` remain when the ``ceil(drop_fraction * N)`` least certain are dropped.

    ``drop_fraction`` counts as the decimal that it is written as: a tenth of 30 is 3, not a little more. Raises
    :class:`SamplingError` unless count ≥ 0 and 0 ≤ drop_fraction < 1.

    >>> candidates_needed(200, 0.1)
    223
    """
    problems = []
    if count < 0:
        problems.append(Problem("negative", "count"))
    if not 0 <= drop_fraction < 1:
        problems.append(Problem("not from 0 to below 1", "drop_fraction"))
    if problems:
        raise SamplingError("invalid filter", problems)
    # N - ceil(f N) = floor((1 - f) N), which reaches the count where (1 - f) N does.
    return ceil(count / (1 - Fraction(repr(float(drop_fraction)))))


def keep_most_certain(scores: NDArray[np.float64] | Sequence[float], count: int) -> NDArray[np.int64]:
    """Positions of the ``count`` lowest scores, ascending by position; between equal scores the earlier stays.

    Raises :class:`SamplingError` when there are fewer scores, or when one is not a number.
    """
    values = np.asarray(scores, np.float64)
    if not 0 <= count <= len(values):
        raise SamplingError("too few candidates", [Problem(f"{len(values)} of which {count} shall be kept", "count")])
    if np.isnan(values).any():
        raise SamplingError("a score is not a number", [Problem(f"candidate {np.isnan(values).argmax()}", "scores")])
    return np.sort(np.argsort(values, kind="stable")[:count])


def class_quotas(candidates: Candidates, count: int, max_uncertainty: float = inf) -> tuple[Demand, ...]:
    """What ``count`` of the candidates have to show, so that no class loses a larger part than the whole does.

    Of ``n`` among ``N`` candidates up to ``max_uncertainty`` that show a class, ``floor(n * count / N)`` are to be
    kept, and of a rare class no fewer than :data:`RARE` of ``count`` (rounded up) where there are so many: its last
    images are not dropped. Classes that no candidate shows are left out.

    What a candidate shows are its ``areas``: predicted ones in the service, true ones where the truth is known.
    """
    total, shown = 0, np.zeros(0, np.int64)
    for block in candidates.blocks():
        usable = block.scores <= max_uncertainty
        total += int(usable.sum())
        counts = (block.areas[usable] >= Demand.min_area).sum(0)
        shown = counts if not len(shown) else shown + counts
    numbers = np.maximum(shown * count // max(1, total), np.minimum(shown, ceil(RARE * count)))
    return tuple(Demand(at, Fraction(int(kept), count)) for at, kept in enumerate(numbers) if 0 < kept <= count)
