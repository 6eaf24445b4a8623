"""Which candidates to keep: the most certain, exactly as many as were asked for (HandsOff section 3.3)."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from core.errors import Problem, SamplingError


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
        raise SamplingError("nothing can be kept of this", problems)
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
