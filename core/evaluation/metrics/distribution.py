"""Distances between generated and real images, given features of both: FID, KID, precision, recall, density, coverage.

Every function takes features, float [N, D], of an extractor (:mod:`core.evaluation.metrics.extractors`), which may lie
in a memory-mapped file: memory does not grow with the number of images. A value depends on the extractor, its resize
rule and the numbers of images; :mod:`core.evaluation.metrics.comparison` keeps them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.metrics.nearest import blocks, squared_distances, squared_radii

Device = torch.device | str


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and covariance of features.

    count: images. mean: float64 [D]. factor: float64 [R, D] with R ≤ D; the covariance (divisor N - 1) is its transpose
    times itself.
    """

    count: int
    mean: NDArray[np.float64]
    factor: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> "Gaussian":
        """Fit features [N, D] in two passes over blocks of rows. Raises ValueError for fewer than two images."""
        count, width = rows.shape
        if count < 2:
            raise ValueError(f"expected at least 2 images, found {count}: their covariance is not defined")
        mean = np.zeros(width)
        for _, part in blocks(rows):
            mean += part.sum(0).numpy() / count
        if count <= width:
            return cls(count, mean, (np.asarray(rows, np.float64) - mean) / np.sqrt(count - 1))
        covariance = np.zeros((width, width))
        for _, part in blocks(rows):
            centred = part.numpy() - mean
            covariance += centred.T @ centred / (count - 1)
        variances, axes = np.linalg.eigh(covariance)
        return cls(count, mean, np.sqrt(np.maximum(variances, 0))[:, None] * axes.T)

    def distance(self, other: "Gaussian") -> float:
        """Return the squared Fréchet distance (Heusel et al. 2017, equation 6).

        The trace of the root of the product of the covariances is the sum of the singular values of the product of
        their factors, which is exact for covariances of low rank as well.
        """
        gap = self.mean - other.mean
        common = np.linalg.svd(self.factor @ other.factor.T, compute_uv=False).sum()
        return max(0.0, float(gap @ gap + (self.factor**2).sum() + (other.factor**2).sum() - 2 * common))


def frechet_distance(real: NDArray[np.floating], generated: NDArray[np.floating]) -> float:
    """FID: squared Fréchet distance of Gaussians fitted to features [N, D] and [M, D].

    Raises ValueError for fewer than two images on a side.
    """
    _check(real, generated, least=2)
    return Gaussian.of(real).distance(Gaussian.of(generated))


@dataclass(frozen=True)
class KidSettings:
    """Subsets of the kernel distance: how many, of how many images, and the seed that draws them."""

    subsets: int = 100
    subset_size: int = 1000
    seed: int = 0


def kernel_distance(
    real: NDArray[np.floating], generated: NDArray[np.floating], settings: KidSettings = KidSettings()
) -> tuple[float, float]:
    """KID: unbiased squared MMD with the kernel (x·y / D + 1)³ (Bińkowski et al. 2018); mean and standard deviation
    (population) over subsets.

    Subsets are drawn without replacement, of ``settings.subset_size`` or of all images where there are fewer. They are
    those of torch-fidelity with the same seed. Raises ValueError for fewer than two images on a side.
    """
    _check(real, generated, least=2)
    random = np.random.RandomState(settings.seed % (1 << 32))  # the range of its seeds
    size = min(settings.subset_size, len(real), len(generated))
    values = []
    for _ in range(settings.subsets):
        x = np.asarray(real[random.choice(len(real), size, replace=False)], np.float64)
        y = np.asarray(generated[random.choice(len(generated), size, replace=False)], np.float64)
        values.append(squared_mmd(x, y))
    return float(np.mean(values)), float(np.std(values))


def squared_mmd(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the unbiased squared MMD of equally many features, [N, D] each, with the kernel of KID."""
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


def manifold_scores(
    real: NDArray[np.floating], generated: NDArray[np.floating], neighbours: int = 5, device: Device = "cpu"
) -> Manifold:
    """Return the four numbers; a neighbourhood reaches to the ``neighbours``-th nearest image of the same side.

    Memory is one block of distances. Raises ValueError where a side has too few images.
    """
    _check(real, generated, least=neighbours + 1)
    real_radius, generated_radius = (squared_radii(one, neighbours, device) for one in (real, generated))
    inside_real = torch.zeros(len(generated), dtype=torch.int64, device=device)
    """Real neighbourhoods that hold each generated image."""
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=device) for _ in range(2))
    for rows, mine in blocks(real, device):
        for columns, other in blocks(generated, device):
            squared = squared_distances(mine, other)
            within = squared < real_radius[rows, None]
            inside_real[columns] += within.sum(0)
            covered[rows] |= within.any(1)
            recalled[rows] |= (squared < generated_radius[columns]).any(1)
    return Manifold(
        precision=float((inside_real > 0).double().mean()),
        recall=float(recalled.double().mean()),
        density=float(inside_real.double().mean() / neighbours),
        coverage=float(covered.double().mean()),
    )


@dataclass(frozen=True)
class ClassDistance:
    """Distances within one class. ``fid``, ``kid``: None where a side has too few images for them."""

    name: str
    real: int
    generated: int
    fid: float | None
    kid: float | None


def class_distances(
    real: NDArray[np.floating],
    real_shows: NDArray[np.bool_],
    generated: NDArray[np.floating],
    generated_shows: NDArray[np.bool_],
    names: Sequence[str],
    least: int = 2,
    kid: KidSettings = KidSettings(),
) -> tuple[ClassDistance, ...]:
    """FID (iFID) and KID within each class. A class with fewer than ``least`` images on a side has none.

    ``real_shows``, ``generated_shows``: bool [N, K] and [M, K], which images show (or, each one alone, are of) which
    class. Raises ValueError for ``least`` below 2.
    """
    if least < 2:
        raise ValueError(f"expected least of 2 or more, found {least}: one image has no covariance")
    found = []
    for name, one, other in zip(names, real_shows.T, generated_shows.T, strict=True):
        x, y = np.flatnonzero(one), np.flatnonzero(other)
        values: tuple[float, float] | tuple[None, None] = (None, None)
        if min(len(x), len(y)) >= least:
            sides = real[x], generated[y]
            values = frechet_distance(*sides), kernel_distance(*sides, kid)[0]
        found.append(ClassDistance(name, len(x), len(y), *values))
    return tuple(found)


def _check(a: NDArray[np.floating], b: NDArray[np.floating], least: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features of shapes {a.shape} and {b.shape}; two [N, D] with equal D are needed")
    if min(len(a), len(b)) < least:
        raise ValueError(f"{len(a)} and {len(b)} images; at least {least} on each side are needed")
