"""What the members say together."""

import torch
from torch import Tensor

from core.labeling.config import Aggregation


def vote(outputs: Tensor) -> Tensor:
    """Majority of the members' arg-maxes, ties → the smaller id (HandsOff section 3.3).

    outputs: float [M, P, K], logits or probabilities. Returns uint8 [P].
    """
    choices = outputs.argmax(-1).t()  # [P, M]
    counts = torch.zeros(outputs.shape[1:], dtype=torch.int32, device=outputs.device)  # [P, K]
    counts.scatter_add_(1, choices, torch.ones_like(choices, dtype=torch.int32))
    return counts.argmax(-1).to(torch.uint8)


def classes(probabilities: Tensor, how: Aggregation) -> Tensor:
    """A class for each pixel, uint8 [P], by :func:`vote` or by the largest mean of ``probabilities`` [M, P, K]."""
    return vote(probabilities) if how == "vote" else probabilities.mean(0).argmax(-1).to(torch.uint8)


class PeakFinder:
    """The place of each heatmap's maximum, found while an image goes by in tiles, so that no heatmap is kept."""

    def __init__(self, points: int, device: torch.device) -> None:
        self._best = torch.full((points,), -torch.inf, device=device)
        self._at = torch.zeros(points, 2, device=device)  # x, y of the pixel's centre

    def look(self, heat: Tensor, top: int, left: int, width: int) -> None:
        """heat: float [P, K], the pixels of a tile in row order, ``width`` a row."""
        best, where = heat.max(0)
        better = best > self._best
        at = torch.stack([left + where % width, top + where // width], dim=1) + 0.5
        self._at = torch.where(better[:, None], at.to(self._at.dtype), self._at)
        self._best = torch.where(better, best, self._best)

    def points(self, peak: float) -> Tensor:
        """float32 [K, 3]: x and y in pixels, and the height as a share of ``peak``, 0..1."""
        return torch.cat([self._at, (self._best / peak).clamp(0, 1)[:, None]], dim=1).float()
