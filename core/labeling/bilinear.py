"""Bilinear interpolation, corners not aligned, as what it is: a sparse linear map with two taps along each axis."""

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


def interpolation_matrix(source: int, target: int, device: torch.device | str = "cpu") -> Tensor:
    """The same map as a dense float32 matrix [target, source]."""
    low, high, weight = taps(source, target, device)
    rows = torch.arange(target, device=device)
    matrix = torch.zeros(target, source, device=device)
    matrix.index_put_((rows, low), 1 - weight, accumulate=True)
    return matrix.index_put_((rows, high), weight, accumulate=True)
