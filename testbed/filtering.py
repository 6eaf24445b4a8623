"""The product's filter over candidates in memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.sampling.candidates import Block
from core.sampling.filtering import class_quotas
from core.sampling.selection import select


def class_areas(masks: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """Share of each image's pixels of each class: masks uint8 [N, H, W] → float64 [N, classes]."""
    return np.stack([(masks == one).mean((1, 2)) for one in range(classes)], axis=1)


def kept_by_classes(scores: NDArray[np.float64], areas: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Places of the ``count`` candidates that the product's filter keeps, ascending: the most certain, no class losing
    a larger part than the whole does.

    scores: float [N], high = unsure. areas: float [N, K], of predicted masks as in the product; of true masks where the
    truth is known, so that quotas protect what is there and not what was found.
    """
    table = _Table(Block(0, scores, areas))
    return np.fromiter(select(table, count, quotas=class_quotas(table, count)).places(table), np.int64)


@dataclass(frozen=True)
class _Table:
    """Candidates in memory."""

    block: Block

    def blocks(self) -> Iterator[Block]:
        """The only one."""
        yield self.block
