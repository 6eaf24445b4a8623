"""Euclidean distances between many rows in blocks, so that memory does not grow with the product of their numbers."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 1024
"""Rows of a block: a block of distances takes 8 MB."""


def blocks(rows: NDArray[np.floating], device: torch.device | str = "cpu") -> Iterator[tuple[slice, Tensor]]:
    """Yield (place, float64 [n, D] on ``device``) of parts of float [N, D], which may lie in a file."""
    for start in range(0, len(rows), BLOCK):
        place = slice(start, min(start + BLOCK, len(rows)))
        yield place, torch.from_numpy(np.asarray(rows[place], np.float64)).to(device)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return squared Euclidean distances [N, M] between rows of [N, D] and [M, D]."""
    squares = torch.addmm((b * b).sum(1).expand(len(a), len(b)), a, b.T, alpha=-2)
    return squares.add_((a * a).sum(1)[:, None]).clamp_min_(0)


def squared_radii(rows: NDArray[np.floating], neighbours: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the squared distance of each row to its ``neighbours``-th nearest other row, float64 [N]."""
    found = []
    for _, mine in blocks(rows, device):
        best = torch.full((len(mine), neighbours + 1), torch.inf, dtype=torch.float64, device=mine.device)
        for _, other in blocks(rows, device):
            # The row itself is among its neighbours + 1 nearest rows.
            near = _smallest(squared_distances(mine, other), neighbours + 1)
            best = _smallest(torch.cat([best, near], 1), neighbours + 1)
        found.append(best[:, neighbours])
    return torch.cat(found)


def _smallest(values: Tensor, count: int) -> Tensor:
    """Return the ``count`` smallest values of each row in ascending order; all of them where there are fewer."""
    return values.topk(min(count, values.shape[1]), largest=False).values


def nearest(
    queries: NDArray[np.floating], rows: NDArray[np.floating], device: torch.device | str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distance of each query [Q, D] to the nearest of ``rows`` [N, D], float64 [Q], and its index."""
    distance, index = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
    for asked, mine in blocks(queries, device):
        for place, other in blocks(rows, device):
            value, at = (one.cpu().numpy() for one in squared_distances(mine, other).min(1))
            better = value < distance[asked]
            distance[asked] = np.where(better, value, distance[asked])
            index[asked] = np.where(better, at + place.start, index[asked])
    return np.sqrt(distance), index
