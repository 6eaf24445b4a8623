"""Which images to label, by what they show: rare classes come back where more of the labelled images hold them.

HandsOff section 4.5 does it in two ways: labelled images without the class give way to others with it (the number of
labels stays), or some with it are added.
"""

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelSetError, Problem


def substitute(chosen: NDArray[np.int64], shows: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """``chosen`` with its last ``count`` images that do not show the class replaced by the first that do.

    chosen: int64 [C], places in a pool. shows: bool [P], which images of the pool show it. Raises LabelSetError where
    either are too few.
    """
    without = np.flatnonzero(~shows[chosen])
    if len(without) < count:
        raise _too_few(f"{len(without)} of the chosen images do not show the class; {count} were to be replaced")
    kept = np.delete(chosen, without[len(without) - count :])
    return np.concatenate([kept, _further(chosen, shows, count)])


def add(chosen: NDArray[np.int64], shows: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """``chosen`` and the first ``count`` further images of the pool that show the class. Arguments and errors as for
    :func:`substitute`.
    """
    return np.concatenate([chosen, _further(chosen, shows, count)])


def _further(chosen: NDArray[np.int64], shows: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    there = np.setdiff1d(np.flatnonzero(shows), chosen)
    if len(there) < count:
        raise _too_few(f"{len(there)} further images of the pool show the class; {count} are needed")
    return there[:count]


def _too_few(words: str) -> LabelSetError:
    return LabelSetError("images cannot be chosen by what they show", [Problem(words, "labels")])
