"""Bilinear interpolation, corners not aligned, as what it is: a sparse linear map with two taps along each axis."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Taps(NamedTuple):
    """Where each target position reads along one axis: ``(1 - weight) * x[low] + weight * x[high]``, each [target]."""

    low: Tensor
    high: Tensor
    weight: Tensor


def taps(source: int, target: int, device: torch.device | str = "cpu") -> Taps:
    """The taps of ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`` without antialiasing."""
    position = (torch.arange(target, dtype=torch.float64) + 0.5) * (source / target) - 0.5
    position = position.clamp_min(0)
    low = position.floor().long().clamp_max(source - 1)
    high = (low + 1).clamp_max(source - 1)
    return Taps(low.to(device), high.to(device), (position - low).float().to(device))


class Interpolation(NamedTuple):
    """The same map as a dense matrix, float32 [target, source], and the tapped positions as plain numbers."""

    matrix: Tensor
    low: list[int]
    high: list[int]

    def support(self, start: int, stop: int) -> tuple[int, int]:
        """First and last + 1 source position that target positions start … stop - 1 read."""
        return self.low[start], self.high[stop - 1] + 1


@lru_cache(maxsize=64)
def interpolation(source: int, target: int, device: torch.device | str = "cpu") -> Interpolation:
    """The map of :func:`taps` for products."""
    # Kept from one call to the next, so not to be marked as born in inference mode.
    with torch.inference_mode(False):
        low, high, weight = taps(source, target)
        rows = torch.arange(target)
        matrix = torch.zeros(target, source)
        matrix.index_put_((rows, low), 1 - weight, accumulate=True)
        matrix.index_put_((rows, high), weight, accumulate=True)
        return Interpolation(matrix.to(device), low.tolist(), high.tolist())
