"""Mean intersection over union, pooled over a set; distance between two sets of features."""

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


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Fréchet distance between Gaussians fitted to features [N, D] and [M, D] (Heusel et al. 2017, equation 6)."""
    gap = a.mean(0) - b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # tr √(AB) is the sum of the roots of AB's eigenvalues, which are real and not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    return float(gap @ gap + np.trace(first) + np.trace(second) - 2 * roots)
