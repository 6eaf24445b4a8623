"""Candidates in memory, for tests of what reads them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from core.sampling.candidates import Block


class Table:
    """Scores [N] and areas [N, K], handed out ``size`` rows at a time."""

    def __init__(self, scores: ArrayLike, areas: ArrayLike = (), size: int = 3) -> None:
        self.scores = np.asarray(scores, np.float64)
        self.areas = np.asarray(areas, np.float64).reshape(len(self.scores), -1)
        self.size = size

    def blocks(self) -> Iterator[Block]:
        for first in range(0, len(self.scores), self.size):
            yield Block(first, self.scores[first : first + self.size], self.areas[first : first + self.size])
