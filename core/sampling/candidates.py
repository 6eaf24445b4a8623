"""What selection needs of every candidate, its score and the area of each class: rows on disk, read block by block.

A row is 1 + K little-endian float64: the uncertainty score, then the share of the image's pixels that each class id
takes. There is no header, so that the tables of consecutive parts of a stream, one behind the other, are the table of
the whole. Memory holds one block, however many candidates there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import Problem, SamplingError

BLOCK = 1 << 14
"""Rows in memory at once: some megabytes with a few dozen classes."""


@dataclass(frozen=True)
class Block:
    """Consecutive candidates."""

    first: int
    """Place of the first among all candidates, from 0."""
    scores: NDArray[np.float64]
    """[B], high = unsure."""
    areas: NDArray[np.float64]
    """[B, K]: share of the image's pixels labelled with each class id."""

    @property
    def places(self) -> NDArray[np.int64]:
        """[B]: each one's place among all candidates."""
        return np.arange(self.first, self.first + len(self.scores))


class Candidates(Protocol):
    """What is read to choose among candidates, several times over."""

    def blocks(self) -> Iterator[Block]:
        """All of them in order."""
        ...


class CandidateTable:
    """The rows of candidates with ``class_count`` classes (ids 0 … K - 1) in the file ``path``, in their order;
    ``block``: rows in memory at once.
    """

    def __init__(self, path: Path, class_count: int, block: int = BLOCK) -> None:
        self.path, self.class_count, self._block = path, class_count, block

    def __len__(self) -> int:
        return self.path.stat().st_size // (8 * (1 + self.class_count))

    @staticmethod
    def write(target: BinaryIO, scores: Sequence[float], areas: ArrayLike) -> None:
        """Append rows to an open file. scores: [B]; areas: [B, K]. Raises :class:`SamplingError` for a score that is
        not a number: nothing could be ordered by it.
        """
        values = np.asarray(scores, "<f8")
        if np.isnan(values).any():
            raise SamplingError(
                "a score is not a number", [Problem(f"candidate {np.isnan(values).argmax()}", "scores")]
            )
        shares = np.asarray(areas, "<f8").reshape(len(values), -1)
        target.write(np.column_stack([values, shares]).astype("<f8", copy=False).tobytes())

    def blocks(self) -> Iterator[Block]:
        """The rows in order, ``block`` at a time."""
        width = 1 + self.class_count
        first = 0
        with self.path.open("rb") as file:
            while (rows := np.fromfile(file, "<f8", self._block * width).reshape(-1, width)).size:
                yield Block(first, rows[:, 0], rows[:, 1:])
                first += len(rows)
