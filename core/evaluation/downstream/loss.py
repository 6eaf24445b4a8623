"""Loss of downstream nets: cross-entropy of ids, squared error of maps, with weights of classes."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.errors import EvaluationError, Problem
from core.evaluation.downstream.images import LabelledImages, Targets

_WEIGHED_IMAGES = 2000
_NEAR = 0.01
"""Of a heatmap's height: about three standard deviations around a point."""


@dataclass(frozen=True)
class TargetFormat:
    """The values in the targets of a training.

    Attributes:
        ignore_index: id of mask pixels that do not count.
        heat: height of the peaks where targets are heatmaps, else 0. Pixels near a point and far from any then weigh as
            two classes do; without that, a network predicts "nowhere" everywhere.
    """

    ignore_index: int = 255
    heat: float = 0.0

    @property
    def near(self) -> float:
        """Height above which a pixel is near a point."""
        return self.heat * _NEAR


def pixel_loss(output: Tensor, targets: Tensor, weights: Tensor | None, target: TargetFormat) -> Tensor:
    """Mean loss of float [N, K, H, W] outputs; int64 [N, H, W] ids or float [N, K, H, W] maps, NaN where unknown."""
    weights = None if weights is None else weights.to(output.device)
    if targets.ndim == 3:
        return F.cross_entropy(output, targets, weight=weights, ignore_index=target.ignore_index)
    share = targets.isfinite().float()
    if weights is not None:
        share = share * weights[(targets > target.near).long()]
    return ((output - targets.nan_to_num(0.0)).square() * share).sum() / share.sum().clamp_min(1e-6)


def as_target(targets: Targets) -> Tensor:
    """Ids as int64, maps as float32."""
    return torch.from_numpy(np.ascontiguousarray(targets, np.int64 if targets.ndim == 3 else np.float32))


def class_weights(images: LabelledImages, channels: int, power: float, target: TargetFormat) -> Tensor | None:
    """Frequency to minus ``power``, mean 1 over the classes that occur; None for maps that are no heatmaps. Heatmaps
    have two classes of pixels: far from a point, and near one, where the map is above ``target.near``.
    """
    near = target.near
    look = np.linspace(0, len(images) - 1, min(len(images), _WEIGHED_IMAGES)).astype(np.int64)
    counts = np.zeros(256, np.int64)
    for start in range(0, len(look), 64):
        targets = images.take(look[start : start + 64])[1]
        if targets.ndim != 3 and not near:
            return None
        counts += np.bincount((targets > near if near else targets).ravel(), minlength=256)
    counts = counts[:2] if near else _of_classes(counts, channels, target.ignore_index)
    frequency = counts / counts.sum()
    weights = np.where(frequency > 0, np.maximum(frequency, 1e-6) ** -power, 0.0)
    return torch.from_numpy(weights / (weights.sum() / (weights > 0).sum())).float()


def _of_classes(counts: NDArray[np.int64], channels: int, ignore_index: int) -> NDArray[np.int64]:
    """Pixels by id [256] → those of the classes; raises where that leaves nothing to learn or there are more."""
    beyond = [one for one in np.flatnonzero(counts) if one >= channels and one != ignore_index]
    if beyond:
        problem = Problem(f"the id {beyond[0]} occurs, and there are {channels} classes", "images")
        raise EvaluationError("unusable masks", [problem])
    known = np.where(np.arange(256) == ignore_index, 0, counts)[:channels]
    if not known.sum():
        raise EvaluationError("unusable masks", [Problem("every pixel is ignored", "images")])
    return known
