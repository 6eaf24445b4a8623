"""How far generated images are from real ones, given features of both: FID, KID, precision, recall, density, coverage.

Every function takes features, float [N, D], of an extractor (:mod:`core.evaluation.metrics.extractors`). The numbers
mean nothing without the extractor's name and the numbers of images, so both belong into every report.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1024


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """FID: Fréchet distance between Gaussians fitted to features [N, D] and [M, D] (Heusel et al. 2017, equation 6).

    Raises ValueError for fewer than two images on a side: there is no covariance.
    """
    _check(a, b, least=2)
    x, y = a.astype(np.float64), b.astype(np.float64)
    gap = x.mean(0) - y.mean(0)
    first, second = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    # tr √(AB) is the sum of the roots of AB's eigenvalues, which are real and not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    return max(0.0, float(gap @ gap + np.trace(first) + np.trace(second) - 2 * roots))


def kernel_distance(
    a: NDArray[np.floating], b: NDArray[np.floating], subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """KID: unbiased squared MMD with the kernel (x·y / D + 1)³ (Bińkowski et al. 2018); mean and std over subsets.

    Subsets are drawn without replacement, of ``subset_size`` or of all images where there are fewer.
    """
    _check(a, b, least=2)
    random = np.random.default_rng(seed)
    size = min(subset_size, len(a), len(b))
    values = [
        _mmd(
            a[random.choice(len(a), size, replace=False)].astype(np.float64),
            b[random.choice(len(b), size, replace=False)].astype(np.float64),
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def _mmd(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    n, width = x.shape
    xx, yy, xy = ((p @ q.T / width + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
    inside = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (n * (n - 1))
    return float(inside - 2 * xy.mean())


@dataclass(frozen=True)
class Manifold:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    precision: share of generated images inside the real manifold. recall: share of real images inside the generated
    one. density: as precision, but counting how many real neighbourhoods hold an image (may exceed 1). coverage: share
    of real images whose neighbourhood holds a generated one.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(real: NDArray[np.floating], generated: NDArray[np.floating], neighbours: int = 5) -> Manifold:
    """The four numbers, each image's neighbourhood reaching to its ``neighbours``-th nearest of its own kind.

    Memory is one block of distances, not all of them. Raises ValueError where a side has too few images.
    """
    _check(real, generated, least=neighbours + 1)
    x, y = real.astype(np.float64), generated.astype(np.float64)
    real_radius, generated_radius = _radii(x, neighbours), _radii(y, neighbours)
    inside_real = np.zeros(len(y), np.int64)  # real neighbourhoods that hold each generated image
    recalled, covered = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distance = distances(x[rows], y)
        within = distance < real_radius[rows, None]
        inside_real += within.sum(0)
        covered[rows] = within.any(1)
        recalled[rows] = (distance < generated_radius).any(1)
    return Manifold(
        precision=float((inside_real > 0).mean()),
        recall=float(recalled.mean()),
        density=float(inside_real.mean() / neighbours),
        coverage=float(covered.mean()),
    )


def distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distances [N, M] between rows of [N, D] and [M, D]."""
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0)))


def class_frechet_distances(
    real: NDArray[np.floating],
    real_shows: NDArray[np.bool_],
    generated: NDArray[np.floating],
    generated_shows: NDArray[np.bool_],
) -> list[float]:
    """iFID: the Fréchet distance within each class, NaN where fewer than two images of a side belong to it.

    ``real_shows``, ``generated_shows``: bool [N, K] and [M, K], which images show (or, each one alone, are of) which
    class.
    """
    sides = zip(real_shows.T, generated_shows.T, strict=True)
    parts = [(real[one], generated[other]) for one, other in sides]
    return [frechet_distance(x, y) if min(len(x), len(y)) > 1 else float("nan") for x, y in parts]


def _radii(x: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """Distance of each row to its ``neighbours``-th nearest other row."""
    parts = [
        np.partition(distances(x[start : start + _BLOCK], x), neighbours, axis=1)[:, neighbours]
        for start in range(0, len(x), _BLOCK)
    ]
    return np.concatenate(parts)


def _check(a: NDArray[np.floating], b: NDArray[np.floating], least: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features of shapes {a.shape} and {b.shape}; two [N, D] with equal D are needed")
    if min(len(a), len(b)) < least:
        raise ValueError(f"{len(a)} and {len(b)} images; at least {least} on each side are needed")
