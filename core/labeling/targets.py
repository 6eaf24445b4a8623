"""What an ensemble is taught: for each task, the truth at single pixels, the loss, and how well it does.

Masks: cross-entropy over classes. Keypoints: one heatmap a point, an unnormalised Gaussian of a stated peak, squared
error (HandsOff appendix B.6); heat is computed where it is asked for, so no heatmap of an image is ever stored. Depth:
squared error where there is a measurement, on depths of zero mean and unit variance, undone in the last layer.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.errors import Problem
from core.label_sets.label_set import LabelItem
from core.labeling.aggregation import vote
from core.labeling.config import LabelerConfig
from core.tasks.segmentation import agreement, confusion_matrix
from core.tasks.task import Task

NEAR = 0.05
"""Heat of more than this share of the peak counts as near the point, for balancing."""


class Target(ABC):
    """Labels of N images for one task. Pixels are named by their place in the flattened [N, H, W]."""

    task: Task
    field: str
    """What the labels are called where a problem with them is told."""
    outputs: int
    """Numbers that a member says of each pixel."""
    groups: int
    """Kinds of pixel that may be weighed or drawn evenly: classes, or near a point and far from any."""

    def __init__(self, labels: Tensor, size: tuple[int, int]) -> None:
        self.labels, self.count, self.size = labels, len(labels), size

    @abstractmethod
    def usable(self, config: LabelerConfig) -> Tensor:
        """bool [N, H, W]: pixels that teach something."""

    @abstractmethod
    def at(self, pixels: Tensor) -> Tensor:
        """The truth of pixels [P]: int64 [P] classes, or float32 [P, outputs]."""

    @abstractmethod
    def group(self, truth: Tensor) -> Tensor:
        """int64, of the truth's shape up to the pixels: the group that each belongs to."""

    @abstractmethod
    def loss(self, raw: Tensor, truth: Tensor) -> Tensor:
        """Members' outputs [M, outputs, B] and truths [M, B] or [M, B, outputs] → losses [M, B]."""

    @abstractmethod
    def scores(self, raw: Tensor, truth: Tensor, ignore_index: int) -> dict[str, Any]:
        """Of outputs [M, P, outputs] as they will be used; ``accuracy`` is at most 1 and higher is better."""

    def check(self) -> list[Problem]:
        """What is wrong with the labels themselves."""
        return []

    def scale(self, training: Tensor) -> tuple[float, float]:  # noqa: ARG002 (for those that need it)
        """(factor, offset) that turn the outputs as trained into the label's unit; fixed before the first step."""
        return 1.0, 0.0


class MaskTarget(Target):
    """masks: uint8 [N, H, W] of class ids below ``class_count`` or the ignore index."""

    task: Task = "segmentation"
    field = "masks"

    def __init__(self, masks: Tensor | NDArray[np.uint8], class_count: int) -> None:
        self.masks = torch.as_tensor(masks)
        self.outputs = self.groups = class_count
        super().__init__(self.masks, _size(self.masks))

    def check(self) -> list[Problem]:
        """Shape and number of classes; ids are judged with the ignore index."""
        if self.masks.ndim != 3 or self.masks.dtype != torch.uint8 or not self.masks.numel():
            return [Problem("not one uint8 mask [H, W] for each code", "masks")]
        return [] if 2 <= self.outputs <= 256 else [Problem("not from 2 to 256", "class_count")]

    def unknown_ids(self, config: LabelerConfig) -> list[Problem]:
        """Ids that are neither a class nor the ignore index."""
        wrong = sorted(set(torch.unique(self.masks).tolist()) - set(range(self.outputs)) - {config.ignore_index})
        return [Problem(f"the class id {value} is not below {self.outputs}", "masks") for value in wrong]

    def usable(self, config: LabelerConfig) -> Tensor:
        """Those that are not ignored."""
        return self.masks.cpu() != config.ignore_index

    def at(self, pixels: Tensor) -> Tensor:
        """int64 [P]."""
        return self.masks.flatten()[pixels.to(self.masks.device)].long()

    def group(self, truth: Tensor) -> Tensor:
        """The class itself."""
        return truth

    def loss(self, raw: Tensor, truth: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(raw, truth, reduction="none")

    def scores(self, raw: Tensor, truth: Tensor, ignore_index: int) -> dict[str, Any]:
        """Pixel accuracy, mean IoU and, under ``iou``, the IoU by class id (text) of the vote."""
        votes = vote(raw).cpu().numpy()
        confusion = confusion_matrix(truth.cpu().to(torch.uint8).numpy(), votes, self.outputs, ignore_index)
        found = agreement(confusion)
        by_class = {str(class_id): value for class_id, value in found.iou.items()}
        return {"accuracy": found.pixel_accuracy, "mean_iou": found.mean_iou, "iou": by_class}


class _Continuous(Target):
    """Squared error; the share of the truth's variance that the members' mean explains."""

    def loss(self, raw: Tensor, truth: Tensor) -> Tensor:
        """Mean squared error over the outputs."""
        return (raw.transpose(1, 2) - truth).square().mean(2)

    def scores(self, raw: Tensor, truth: Tensor, ignore_index: int) -> dict[str, Any]:  # noqa: ARG002
        """``accuracy``: the share of the variance that is explained (R²)."""
        truth = truth.to(raw.device)
        error = (raw.mean(0) - truth).square().sum()
        spread = (truth - truth.mean(0)).square().sum().clamp_min(1e-12)
        return {"accuracy": float(1 - error / spread), "mse": float((raw.mean(0) - truth).square().mean())}


class KeypointTarget(_Continuous):
    """points: float32 [N, K, 3] of x, y, visibility in pixels of ``size``; 0 in the third is a point that is not there,
    whose heatmap is taught to have no peak.
    """

    task: Task = "keypoints"
    field = "keypoints"
    groups = 2

    def __init__(self, points: Tensor | NDArray[np.float32], size: tuple[int, int], config: LabelerConfig) -> None:
        self.points = torch.as_tensor(points, dtype=torch.float32)
        self.outputs = self.points.shape[1] if self.points.ndim == 3 else 0
        self.peak, self.spread = config.keypoint_peak, config.keypoint_std(size)
        super().__init__(self.points, size)

    def check(self) -> list[Problem]:
        """Shape, numbers, and at least one point."""
        if self.points.ndim != 3 or self.points.shape[2:] != (3,) or not self.points.numel():
            return [Problem("not float points [N, K, 3]", "keypoints")]
        if not self.points.isfinite().all():
            return [Problem("not finite", "keypoints")]
        return [] if bool((self.points[..., 2] > 0).any()) else [Problem("no point is labelled", "keypoints")]

    def usable(self, config: LabelerConfig) -> Tensor:  # noqa: ARG002
        """All pixels."""
        return torch.ones(self.count, *self.size, dtype=torch.bool)

    def at(self, pixels: Tensor) -> Tensor:
        """Heat of every point, float32 [P, K]."""
        pixels = pixels.cpu()
        image, rest = pixels // (self.size[0] * self.size[1]), pixels % (self.size[0] * self.size[1])
        y, x = rest // self.size[1] + 0.5, rest % self.size[1] + 0.5
        points = self.points[image]  # [P, K, 3]
        distance = (points[..., 0] - x[:, None]).square() + (points[..., 1] - y[:, None]).square()
        heat = self.peak * torch.exp(-distance / (2 * self.spread**2))
        return heat * (points[..., 2] > 0)

    def group(self, truth: Tensor) -> Tensor:
        """1 near any point, 0 elsewhere."""
        return (truth.amax(-1) > NEAR * self.peak).long()


class DepthTarget(_Continuous):
    """depth: float32 [N, H, W], 0 where nothing was measured."""

    task: Task = "depth"
    field = "depth"
    outputs = groups = 1

    def __init__(self, depth: Tensor | NDArray[np.float32]) -> None:
        self.depth = torch.as_tensor(depth, dtype=torch.float32)
        self.mean, self.std = 0.0, 1.0
        super().__init__(self.depth, _size(self.depth))

    def check(self) -> list[Problem]:
        """Shape and numbers."""
        if self.depth.ndim != 3 or not self.depth.numel():
            return [Problem("not float depths [N, H, W]", "depth")]
        good = bool(self.depth.isfinite().all()) and float(self.depth.min()) >= 0
        return [] if good else [Problem("negative or not finite", "depth")]

    def usable(self, config: LabelerConfig) -> Tensor:  # noqa: ARG002
        """Those with a measurement."""
        return self.depth.cpu() > 0

    def scale(self, training: Tensor) -> tuple[float, float]:
        """Standard deviation and mean of the training pixels."""
        values = self.depth.flatten()[training].double()
        self.mean, self.std = float(values.mean()), max(float(values.std(correction=0)), 1e-6)
        return self.std, self.mean

    def at(self, pixels: Tensor) -> Tensor:
        """Normalised depth, float32 [P, 1]."""
        return ((self.depth.flatten()[pixels.cpu()] - self.mean) / self.std)[:, None]

    def group(self, truth: Tensor) -> Tensor:
        """One group."""
        return torch.zeros(truth.shape[:-1], dtype=torch.long, device=truth.device)


def targets_of(items: Sequence[LabelItem], class_count: int, config: LabelerConfig) -> list[Target]:
    """All that labelled images of one size have to teach. ``class_count``: 0 where they have no masks."""
    targets: list[Target] = []
    if class_count:
        masks = np.stack([without_small_classes(item.mask, config) for item in items])
        targets.append(MaskTarget(masks, class_count))
    points = [item.keypoints for item in items if item.keypoints is not None]
    depths = [item.depth for item in items if item.depth is not None]
    if points:
        targets.append(KeypointTarget(np.stack(points), items[0].size, config))
    if depths:
        targets.append(DepthTarget(np.stack(depths)))
    return targets


def without_small_classes(mask: NDArray[np.uint8], config: LabelerConfig) -> NDArray[np.uint8]:
    """Return the mask, uint8 [H, W], in which every class 1 to 49 on fewer than ``config.min_class_pixels`` pixels is
    class 0, as in the papers' released code; the ignore index stays.
    """
    counts = np.bincount(mask.ravel(), minlength=256)
    small = (counts > 0) & (counts < config.min_class_pixels)
    small[0], small[50:], small[config.ignore_index] = False, False, False
    return np.where(small[mask], np.uint8(0), mask) if small.any() else mask


def _size(maps: Tensor) -> tuple[int, int]:
    return (maps.shape[-2], maps.shape[-1]) if maps.ndim > 1 else (0, 0)
