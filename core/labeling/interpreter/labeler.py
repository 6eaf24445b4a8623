"""A trained feature interpreter as a labeler: features of a synthesis → masks, uncertainty and scores."""

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import LabelerError, Problem
from core.generators.interface import FeatureLayer, FeatureSource, Synthesis
from core.labeling.aggregation import classes
from core.labeling.interpreter.config import InterpreterConfig
from core.labeling.interpreter.network import Interpreter, probabilities
from core.labeling.labeler import Labels, VotedCollapse, check_features, check_source
from core.labeling.uncertainty import image_scores, js_divergence
from core.tasks.task import Task

#: Pixels whose distributions of all heads are held at once.
_PIXELS = 1 << 16
#: Smallest probability whose logarithm is returned.
_LEAST = 1e-12


@dataclass(frozen=True)
class InterpreterLabeler:
    """Labels masks. :func:`core.labeling.interpreter.training.train_interpreter` makes one."""

    network: Interpreter
    voted_classes: int
    """Classes that the heads choose from."""
    feature_layers: tuple[FeatureLayer, ...]
    condition_dim: int
    config: InterpreterConfig
    feature_digest: str = ""
    """``FeatureSource.feature_digest`` of the source that it was trained on."""
    report: dict[str, Any] = field(default_factory=dict)
    """Training report: JSON values."""
    collapse: VotedCollapse | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Segmentation alone."""
        return ("segmentation",)

    @property
    def reports(self) -> dict[Task, dict[str, Any]]:
        """The report of each task."""
        return {"segmentation": self.report}

    @property
    def class_count(self) -> int:
        """Classes of the masks."""
        return self.collapse.class_count if self.collapse else self.voted_classes

    def check_source(self, source: FeatureSource) -> None:
        """Raise :class:`LabelerError` unless ``source`` gives the features that the labeler was trained on."""
        check_source(source, self.feature_layers, self.feature_digest)

    @torch.inference_mode()
    def label_synthesis(self, synthesis: Synthesis, size: tuple[int, int]) -> Labels:
        """Label images from their synthesis with features, one after another. size: of the labels, (height, width).

        Raises :class:`LabelerError` where the features are not those of the generator that it was trained on.
        """
        check_features(synthesis.features, self.feature_layers)
        count, device = len(synthesis.features[0]), synthesis.features[0].device
        masks = torch.empty(count, *size, dtype=torch.uint8, device=device)
        divergence = torch.empty(count, *size, device=device)
        for image in range(count):
            masks[image], divergence[image] = self._chosen(self._logits(synthesis, image, size))
        scores = image_scores(divergence, self.config.score, masks, self.voted_classes)
        if self.collapse is not None:
            masks = torch.tensor(self.collapse.targets, dtype=torch.uint8, device=device)[masks.long()]
        return Labels(masks, None, None, {"segmentation": divergence}, {"segmentation": scores})

    @torch.inference_mode()
    def say_synthesis(self, synthesis: Synthesis, size: tuple[int, int], pixels: Tensor, task: Task) -> Tensor:
        """Return each head's log-probabilities at single pixels, float32 [heads, P, classes].

        pixels: int64 [P], places in the flattened [N, H, W]. Raises :class:`LabelerError` for another task.
        """
        if task != "segmentation":
            raise LabelerError("this labeler predicts segmentation", [Problem("was not learnt", task)])
        check_features(synthesis.features, self.feature_layers)
        each = [self._logits(synthesis, image, size) for image in range(len(synthesis.features[0]))]
        logits = torch.stack(each, 1).movedim(2, -1).flatten(1, 3)  # [heads, N * H * W, outputs]
        return probabilities(logits[:, pixels.to(logits.device)]).clamp_min(_LEAST).log()

    def _logits(self, synthesis: Synthesis, image: int, size: tuple[int, int]) -> Tensor:
        """Logits of one image, [heads, outputs, height, width]."""
        one = slice(image, image + 1)
        condition = None if synthesis.condition is None else synthesis.condition[one]
        logits: Tensor = self.network([maps[one] for maps in synthesis.features], condition)[:, 0]
        if tuple(logits.shape[2:]) != size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False, antialias=True)
        return logits

    def _chosen(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of one image [heads, outputs, H, W] → classes uint8 and divergence float, each [H, W]."""
        size = logits.shape[2:]
        parts = [probabilities(part.mT) for part in torch.split(logits.flatten(2), _PIXELS, 2)]
        chosen = torch.cat([classes(part, self.config.aggregation) for part in parts])
        divergence = torch.cat([js_divergence(part) for part in parts])
        return chosen.view(size), divergence.view(size)

    def settings_json(self) -> dict[str, Any]:
        """Return the settings that it was trained with, as JSON values."""
        return self.config.to_json()

    def to(self, device: torch.device | str) -> "InterpreterLabeler":
        """Return the same labeler with its weights on ``device``."""
        return replace(self, network=copy.deepcopy(self.network).to(device))

    def pruned(self, members: int) -> "InterpreterLabeler":
        """Return a labeler of its first ``members`` heads. Raises :class:`LabelerError` unless there are so many."""
        if not 1 <= members <= self.config.heads:
            problem = Problem(f"not from 1 to {self.config.heads}", "members")
            raise LabelerError("cannot keep that many members", [problem])
        network = copy.deepcopy(self.network)
        network.heads = network.heads[:members]
        return replace(self, network=network, config=replace(self.config, heads=members))

    def collapsed(self, collapse: VotedCollapse) -> "InterpreterLabeler":
        """Return a labeler whose votes are collapsed to fewer classes."""
        return replace(self, collapse=collapse)
