"""Overlap of predicted and true masks, image by image, so that pooled scores can be resampled over images."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from core.tasks.segmentation import agreement, confusion_matrix


def image_confusions(
    truth: Iterable[NDArray[np.uint8]],
    predicted: Iterable[NDArray[np.uint8]],
    class_count: int,
    ignore_index: int = 255,
) -> NDArray[np.int64]:
    """int64 [N, class_count, class_count + 1]: one :func:`core.tasks.segmentation.confusion_matrix` an image.

    Their sum over images gives the pooled scores. Raises ValueError for shapes or numbers of images that differ.
    """
    parts = [confusion_matrix(t, p, class_count, ignore_index) for t, p in zip(truth, predicted, strict=True)]
    return np.stack(parts) if parts else np.zeros((0, class_count, class_count + 1), np.int64)


def pooled_iou(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union by class, intersections and unions pooled over the images.

    confusions: int64 [..., N, K, K + 1]. Returns float64 [..., K], NaN for a class in neither truth nor prediction.
    """
    pooled = confusions.sum(-3)
    hits, true, predicted = _sums(pooled)
    union = true + predicted - hits
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


def pooled_miou(confusions: NDArray[np.int64]) -> float:
    """Mean of :func:`pooled_iou` over the classes that occur. int64 [N, K, K + 1] → 0..1, NaN for no pixels."""
    return agreement(confusions.sum(0)).mean_iou


def pooled_f1(confusions: NDArray[np.int64], classes: Iterable[int] | None = None) -> float:
    """F1 of each class from pooled counts, 2·hits / (true + predicted), then the mean over ``classes``.

    Classes that occur in neither are left out. "Knowing the Distance" takes the 16 of CelebAMask-HQ's 19 classes that
    are not earring (15), necklace (16) and cloth (18).
    """
    hits, true, predicted = _sums(confusions.sum(0))
    total = true + predicted
    chosen = np.arange(len(total)) if classes is None else np.array(sorted(set(classes)), int)
    chosen = chosen[total[chosen] > 0]
    return float((2 * hits[chosen] / total[chosen]).mean()) if len(chosen) else float("nan")


def image_miou(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean IoU of each image by itself, over the classes in it: int64 [N, K, K + 1] → float64 [N], NaN when empty."""
    hits, true, predicted = _sums(confusions)
    union = true + predicted - hits
    counted = (union > 0).sum(-1)
    iou = hits / np.maximum(union, 1)
    return np.where(counted > 0, iou.sum(-1) / np.maximum(counted, 1), np.nan)


def _sums(confusion: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Hits, true and predicted pixels of each class; [..., K, K + 1] → three [..., K]."""
    class_count = confusion.shape[-2]
    square = confusion[..., :class_count]
    return np.diagonal(square, axis1=-2, axis2=-1), confusion.sum(-1), square.sum(-2)
