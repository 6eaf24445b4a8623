"""A trained labeler: features → label, divergence and score of each image."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.errors import LabelerError, Problem
from core.generators.stylegan2 import FeatureLayer, Noise
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import FoldedEnsemble
from core.labeling.hypercolumn import SelectedLayers
from core.labeling.projection import hidden_tiles
from core.labeling.uncertainty import image_scores, js_divergence

TILE_FLOATS = {"cpu": 1 << 22, "cuda": 1 << 27}
"""Hidden values that one tile may hold, by kind of device; measured on a CPU with 2560 hidden units."""


class Labels(NamedTuple):
    """mask: uint8 [N, H, W] class ids. divergence: float32 [N, H, W] nats. scores: float64 [N], high = unsure."""

    mask: Tensor
    divergence: Tensor
    scores: Tensor


@dataclass(frozen=True)
class Labeler:
    """An ensemble that knows what it reads. :func:`core.labeling.training.train_ensemble` makes one."""

    ensemble: FoldedEnsemble
    feature_layers: tuple[FeatureLayer, ...]
    """The generator's layers, as they were when the labeler was trained."""
    config: LabelerConfig
    noise: Noise
    """How the generator was synthesised while training; labels are meant for images made the same way."""
    report: dict[str, Any] = field(default_factory=dict)
    """How training went: loss curve, class frequencies, held-out accuracy. JSON values."""

    @property
    def class_count(self) -> int:
        """Number of classes, the largest class id plus one."""
        return self.ensemble.class_count

    @torch.inference_mode()
    def label(self, features: Sequence[Tensor], size: tuple[int, int]) -> Labels:
        """Label images from the features of their synthesis.

        features: all of ``Synthesis.features``, float [N, C, h, w] each. size: label (height, width), any up to the
        image's. A pixel's label is the class that most members vote for (ties → the smaller id). Raises
        :class:`LabelerError` when the features are not those of the generator that it was trained on.
        """
        self._check(features)
        picked = SelectedLayers(self.feature_layers, self.config).pick(features)
        count, device = len(features[0]), features[0].device
        mask = torch.empty(count, *size, dtype=torch.uint8, device=device)
        divergence = torch.empty(count, *size, device=device)
        first, bias = self.ensemble.first_weight, self.ensemble.first_bias
        tile_pixels = max(1, TILE_FLOATS.get(device.type, 1 << 22) // len(bias))
        for image in range(count):
            for tile, hidden in hidden_tiles([x[image] for x in picked], first, bias, size, tile_pixels):
                probabilities = self.ensemble.probabilities(hidden)  # [M, P, K]
                window = (image, slice(tile.top, tile.bottom), slice(tile.left, tile.right))
                mask[window] = vote(probabilities).view_as(mask[window])
                divergence[window] = js_divergence(probabilities).view_as(divergence[window])
        return Labels(mask, divergence, image_scores(divergence, self.config.score))

    def to(self, device: torch.device | str) -> "Labeler":
        """The same labeler with its weights on ``device``."""
        e = self.ensemble
        moved = FoldedEnsemble(
            e.first_weight.to(device),
            e.first_bias.to(device),
            tuple(weight.to(device) for weight in e.weights),
            tuple(bias.to(device) for bias in e.biases),
        )
        return Labeler(moved, self.feature_layers, self.config, self.noise, self.report)

    def _check(self, features: Sequence[Tensor]) -> None:
        actual = [tuple(x.shape[1:]) for x in features]
        expected = [layer[1:] for layer in self.feature_layers]
        if actual != expected:
            problem = Problem(f"features of shapes {actual} where {expected} are needed", "features")
            raise LabelerError("these features come from another generator", [problem])


def vote(probabilities: Tensor) -> Tensor:
    """Majority of the members' arg-maxes, ties → the smaller id. Float [M, P, K] → uint8 [P]."""
    choices = probabilities.argmax(-1).t()  # [P, M]
    counts = torch.zeros(probabilities.shape[1:], dtype=torch.int32, device=probabilities.device)  # [P, K]
    counts.scatter_add_(1, choices, torch.ones_like(choices, dtype=torch.int32))
    return counts.argmax(-1).to(torch.uint8)
