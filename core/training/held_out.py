"""Distances of generated images to held-out ones, in features that need no network: for following one training.

Features are averages of cells and the local detail of each octave, projected to the principal components of the real
images. Their values compare states of one training, not trainings with each other or with published numbers.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.evaluation.metrics.distribution import Manifold, frechet_distance, manifold_scores
from core.evaluation.metrics.extractors import Extractor
from core.evaluation.metrics.memorization import picture_features
from core.generators.training import TrainingImages
from core.image_arrays import as_pictures

EXTRACTOR = "cell averages and detail, principal components"
"""Name of the features in reports."""
MOST_REALS = 1000
NEIGHBOURS = 5
_COMPONENTS = 64
_CELLS, _DETAIL_CELLS = 16, 4
_SMALLEST_OCTAVE = 8


@dataclass(frozen=True)
class HeldOutScores:
    """frechet: distance of the projected features. manifold: in pixels averaged to 16x16."""

    frechet: float
    manifold: Manifold


class HeldOutMeasure:
    """Held-out images with their features, computed once."""

    def __init__(self, images: TrainingImages, most: int = MOST_REALS) -> None:
        """images: at least 8; the first ``most`` are used."""
        reals = images.read(range(min(most, len(images))))
        self.reals = reals
        parts = _parts(reals)
        self._means = [part.mean(0) for part in parts]
        self._scales = [float(part.var(0).sum().sqrt().clamp_min(1e-6)) for part in parts]
        standard = self._standard(parts)
        _, _, axes = torch.linalg.svd(standard, full_matrices=False)
        self._axes = axes[: min(_COMPONENTS, max(2, len(reals) // 3))]  # [components, features]
        self._features = (standard @ self._axes.T).numpy()
        self._small = small_pictures(reals)

    def scores(self, fakes: Tensor) -> HeldOutScores:
        """Measure fakes uint8 [N, C, H, W], at least 8."""
        found = (self._standard(_parts(fakes)) @ self._axes.T).numpy()
        neighbours = min(NEIGHBOURS, len(self.reals) - 1, len(fakes) - 1)
        manifold = manifold_scores(self._small, small_pictures(fakes), neighbours)
        return HeldOutScores(frechet_distance(self._features, found), manifold)

    def extractor(self) -> Extractor:
        """Return the features as an extractor, fitted to these images."""

        def features(images: Tensor) -> Tensor:
            pictures = images[:, : self.reals.shape[1]].cpu()
            found: Tensor = self._standard(_parts(pictures)) @ self._axes.T
            return found

        return Extractor(EXTRACTOR, features)

    def _standard(self, parts: list[Tensor]) -> Tensor:
        scaled = zip(parts, self._means, self._scales, strict=True)
        return torch.cat([(part - mean) / scale for part, mean, scale in scaled], 1)


def small_pictures(images: Tensor) -> NDArray[np.float64]:
    """Return uint8 [N, C, H, W] averaged to 16x16, float64 [N, D]."""
    return picture_features(as_pictures(images).cpu().numpy(), min(_CELLS, *images.shape[2:]))


def _parts(images: Tensor) -> list[Tensor]:
    """Return averages of cells, and the root mean square of each octave's detail in cells: float64 [N, ·] each."""
    x = images.double() / 255
    parts = [F.adaptive_avg_pool2d(x, (min(_CELLS, x.shape[2]), min(_CELLS, x.shape[3]))).flatten(1)]
    while min(x.shape[2:]) >= 2 * _SMALLEST_OCTAVE and not any(side % 2 for side in x.shape[2:]):
        low = F.avg_pool2d(x, 2)
        detail = (x - F.interpolate(low, scale_factor=2.0)).square().mean(1, keepdim=True)
        parts.append(F.adaptive_avg_pool2d(detail, _DETAIL_CELLS).sqrt().flatten(1))
        x = low
    return parts
