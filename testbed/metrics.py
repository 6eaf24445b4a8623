"""Mean intersection over union, pooled over a set."""

import numpy as np
from numpy.typing import NDArray


def class_iou(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], class_count: int) -> NDArray[np.float64]:
    """Intersection over union of each class, intersections and unions summed over the whole set.

    Returns:
        float64 [class_count]; NaN for a class absent from both.

    Raises:
        ValueError: the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {truth.shape}, prediction is {predicted.shape}")
    pairs = truth.reshape(-1).astype(np.int64) * class_count + predicted.reshape(-1)
    table = np.bincount(pairs, minlength=class_count**2).reshape(class_count, class_count)
    both = np.diag(table).astype(np.float64)
    either = table.sum(0) + table.sum(1) - both
    return np.where(either > 0, both / np.maximum(either, 1), np.nan)


def mean_iou(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], class_count: int) -> float:
    """Mean of `class_iou` over the classes present in truth or prediction."""
    return float(np.nanmean(class_iou(truth, predicted, class_count)))
