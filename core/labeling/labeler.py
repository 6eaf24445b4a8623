"""A trained labeler: features → label, uncertainty and score of each image, for every task that it has learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from core.errors import LabelerError, Problem
from core.generators.interface import FeatureLayer, FeatureSource, Synthesis
from core.labeling.aggregation import PeakFinder, classes
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import FoldedEnsemble
from core.labeling.hypercolumn import SelectedLayers, gather
from core.labeling.projection import Tile, hidden_tiles
from core.labeling.uncertainty import image_scores, js_divergence, variance
from core.tasks.task import Task

TILE_FLOATS = {"cpu": 1 << 22, "cuda": 1 << 27}
"""Hidden values that one tile may hold, by kind of device; measured on a CPU with 2560 hidden units."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Head:
    """The ensemble of one task, and how its training went (JSON values)."""

    task: Task
    ensemble: FoldedEnsemble
    report: dict[str, Any] = field(default_factory=dict)


class VotedCollapse(NamedTuple):
    """Fewer classes after the vote: for each class that members vote on, the id that stands in the mask instead. There
    are ``class_count`` of these; a larger id is none of them, as the ignore index.
    """

    targets: tuple[int, ...]
    class_count: int


class Labels(NamedTuple):
    """Labels of N images.

    mask: uint8 [N, H, W] class ids; the ignore index everywhere when segmentation is no task of the labeler.
    keypoints: float32 [N, K, 3], x and y in pixels and the height of the peak as a share of that taught, 0..1.
    depth: float32 [N, H, W] in the label set's unit. Both are None when they are no task.
    uncertainty: by task, float32 [N, H, W]: nats of divergence, or variance.
    task_scores: by task, float64 [N], high = unsure.
    """

    mask: Tensor
    keypoints: Tensor | None
    depth: Tensor | None
    uncertainty: dict[Task, Tensor]
    task_scores: dict[Task, Tensor]

    @property
    def divergence(self) -> Tensor:
        """The uncertainty of the first task, by which images are ranked."""
        return next(iter(self.uncertainty.values()))

    @property
    def scores(self) -> Tensor:
        """The scores of the first task."""
        return next(iter(self.task_scores.values()))


class TrainedLabeler(Protocol):
    """All that sampling and storage know of a labeler, whichever way it was trained."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that it labels."""
        ...

    @property
    def class_count(self) -> int:
        """Classes of the masks, the largest class id plus one; 0 when segmentation is no task."""
        ...

    @property
    def feature_layers(self) -> tuple[FeatureLayer, ...]:
        """The generator's layers, as they were when the labeler was trained."""
        ...

    @property
    def feature_digest(self) -> str:
        """``FeatureSource.feature_digest`` of the source that it was trained on."""
        ...

    @property
    def collapse(self) -> VotedCollapse | None:
        """Classes of the masks by votes; None where they are the same."""
        ...

    @property
    def reports(self) -> Mapping[Task, dict[str, Any]]:
        """Training report of each task: JSON values, in the order of ``tasks``."""
        ...

    def settings_json(self) -> dict[str, Any]:
        """Return the settings that it was trained with, as JSON values."""
        ...

    def label_synthesis(self, synthesis: Synthesis, size: tuple[int, int]) -> Labels:
        """Label images from their synthesis with features. size: of the labels, (height, width), up to the image's."""
        ...

    def say_synthesis(self, synthesis: Synthesis, size: tuple[int, int], pixels: Tensor, task: Task) -> Tensor:
        """Return the output of each member at single pixels, float32 [M, P, outputs]. pixels: int64 [P], places in the
        flattened [N, H, W].
        """
        ...

    def check_source(self, source: FeatureSource) -> None:
        """Raise :class:`LabelerError` unless ``source`` gives the features that the labeler was trained on."""
        ...

    def to(self, device: torch.device | str) -> "TrainedLabeler":
        """Return the same labeler with its weights on ``device``."""
        ...

    def pruned(self, members: int) -> "TrainedLabeler":
        """Return a labeler of its first members. Raises :class:`LabelerError` unless there are so many."""
        ...

    def collapsed(self, collapse: VotedCollapse) -> "TrainedLabeler":
        """Return a labeler whose votes are collapsed to fewer classes."""
        ...


def check_source(source: FeatureSource, layers: tuple[FeatureLayer, ...], digest: str) -> None:
    """Raise :class:`LabelerError` unless ``source`` gives features of these layers and of this digest, if any."""
    if source.layers != layers:
        problem = Problem("its feature layers are not those of this generator", "labeler")
        raise LabelerError("the labeler was trained on another generator", [problem])
    if digest and source.feature_digest != digest:
        detail = f"it was trained on features {digest[:12]}, these are {source.feature_digest[:12]}"
        raise LabelerError("the labeler was trained on other weights or settings", [Problem(detail, "labeler")])


def check_features(features: Sequence[Tensor], layers: tuple[FeatureLayer, ...]) -> None:
    """Raise :class:`LabelerError` for features of other shapes than those of ``layers``."""
    actual = [tuple(x.shape[1:]) for x in features]
    expected = [layer[1:] for layer in layers]
    if actual != expected:
        problem = Problem(f"features of shapes {actual} where {expected} are needed", "features")
        raise LabelerError("features of another generator", [problem])


@dataclass(frozen=True)
class Labeler:
    """Ensembles that know what they read. :func:`core.labeling.training.train_labeler` makes one."""

    heads: tuple[Head, ...]
    """One for each task, in the order of :data:`core.tasks.task.TASKS`."""
    feature_layers: tuple[FeatureLayer, ...]
    """The generator's layers, as they were when the labeler was trained."""
    config: LabelerConfig
    feature_digest: str = ""
    """``FeatureSource.feature_digest`` of the source that it was trained on; empty for a labeler of the first release,
    which is known by its layers alone.
    """
    collapse: VotedCollapse | None = None
    """None where the classes that members vote on are those of the masks."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that it labels."""
        return tuple(head.task for head in self.heads)

    @property
    def voted_classes(self) -> int:
        """Classes that members vote on, the largest class id plus one; 0 when segmentation is no task."""
        return next((head.ensemble.outputs for head in self.heads if head.task == "segmentation"), 0)

    @property
    def class_count(self) -> int:
        """Classes of the masks, the largest class id plus one; 0 when segmentation is no task."""
        return self.collapse.class_count if self.collapse and self.voted_classes else self.voted_classes

    @property
    def reports(self) -> dict[Task, dict[str, Any]]:
        """Training report of each task."""
        return {head.task: head.report for head in self.heads}

    def settings_json(self) -> dict[str, Any]:
        """Return the settings that it was trained with, as JSON values."""
        return self.config.to_json()

    def collapsed(self, collapse: VotedCollapse) -> "Labeler":
        """Return a labeler whose votes are collapsed to fewer classes."""
        return replace(self, collapse=collapse)

    @property
    def report(self) -> dict[str, Any]:
        """Training report of the first task."""
        return self.heads[0].report

    def head(self, task: Task) -> Head:
        """The head of a task. Raises :class:`LabelerError` when it was not learnt."""
        for head in self.heads:
            if head.task == task:
                return head
        raise LabelerError(f"this labeler predicts {', '.join(self.tasks)}", [Problem("was not learnt", task)])

    @torch.inference_mode()
    def label(self, features: Sequence[Tensor], size: tuple[int, int]) -> Labels:
        """Label images from the features of their synthesis, all tasks in one pass over them.

        features: all of ``Synthesis.features``, float [N, C, h, w] each. size: label (height, width), any up to the
        image's. Raises :class:`LabelerError` when the features are not those of the generator that it was trained on.
        """
        check_features(features, self.feature_layers)
        picked = SelectedLayers(self.feature_layers, self.config).pick(features)
        count, device = len(features[0]), features[0].device
        first, bias, ensembles = self._working
        tile_pixels = max(1, TILE_FLOATS.get(device.type, 1 << 22) // len(bias))
        canvas = _Canvas(self, count, size, device)
        for image, tile, hidden in hidden_tiles(picked, first, bias, size, tile_pixels):
            start = 0
            for head, ensemble in zip(self.heads, ensembles, strict=True):
                stop = start + len(ensemble.first_bias)
                mine = hidden if len(ensembles) == 1 else hidden[:, start:stop].contiguous()
                canvas.paint(head.task, image, tile, ensemble.say(mine))
                start = stop
        return canvas.labels()

    @torch.inference_mode()
    def say(self, features: Sequence[Tensor], size: tuple[int, int], pixels: Tensor, task: Task) -> Tensor:
        """What each member says of single pixels, float32 [M, P, outputs]: logits, heat, or depth.

        features, size: as for :meth:`label`. pixels: int64 [P], places in the flattened [N, H, W].
        """
        check_features(features, self.feature_layers)
        ensemble = self.head(task).ensemble
        picked = SelectedLayers(self.feature_layers, self.config).pick(features)
        columns = gather(picked, size, pixels.to(features[0].device))
        return ensemble.say(torch.addmm(ensemble.first_bias, columns, ensemble.first_weight))

    def label_synthesis(self, synthesis: Synthesis, size: tuple[int, int]) -> Labels:
        """Label images from their synthesis with features, as :meth:`label` does."""
        return self.label(synthesis.features, size)

    def say_synthesis(self, synthesis: Synthesis, size: tuple[int, int], pixels: Tensor, task: Task) -> Tensor:
        """Return the output of each member at single pixels, as :meth:`say` does."""
        return self.say(synthesis.features, size, pixels, task)

    @cached_property
    def _working(self) -> tuple[Tensor, Tensor, tuple[FoldedEnsemble, ...]]:
        """All heads' first layers side by side, [ΣC, ΣQ] and [ΣQ], and the ensembles, in the precision of labeling."""
        dtype = PRECISIONS[self.config.precision]
        ensembles = tuple(head.ensemble.to(head.ensemble.first_bias.device, dtype) for head in self.heads)
        if len(ensembles) == 1:
            return ensembles[0].first_weight, ensembles[0].first_bias, ensembles
        weight = torch.cat([ensemble.first_weight for ensemble in ensembles], dim=1)
        return weight, torch.cat([ensemble.first_bias for ensemble in ensembles]), ensembles

    def to(self, device: torch.device | str) -> "Labeler":
        """The same labeler with its weights on ``device``."""
        heads = tuple(replace(head, ensemble=head.ensemble.to(device)) for head in self.heads)
        return replace(self, heads=heads)

    def pruned(self, members: int) -> "Labeler":
        """A labeler of its first ``members`` members: 3 label almost as well as 10 (HandsOff figure 6b).

        Members were trained side by side, none seeing another, so the first few are as good as any. Raises
        :class:`LabelerError` unless there are so many.
        """
        if not 1 <= members <= self.config.members:
            problem = Problem(f"not from 1 to {self.config.members}", "members")
            raise LabelerError("cannot keep that many members", [problem])
        heads = tuple(replace(head, ensemble=head.ensemble.pick(range(members))) for head in self.heads)
        return replace(self, heads=heads, config=replace(self.config, members=members))

    def check_source(self, source: FeatureSource) -> None:
        """Raise :class:`LabelerError` unless ``source`` gives the features that the labeler was trained on."""
        check_source(source, self.feature_layers, self.feature_digest)


class _Canvas:
    """Labels of a batch while they are painted, tile by tile."""

    def __init__(self, labeler: Labeler, count: int, size: tuple[int, int], device: torch.device) -> None:
        self.config, self.voted_classes, self.device = labeler.config, labeler.voted_classes, device
        self.collapse = labeler.collapse
        self.points = {head.task: head.ensemble.outputs for head in labeler.heads}.get("keypoints", 0)
        self.mask = torch.full((count, *size), self.config.ignore_index, dtype=torch.uint8, device=device)
        self.depth = torch.empty(count, *size, device=device) if "depth" in labeler.tasks else None
        self.uncertainty = {task: torch.empty(count, *size, device=device) for task in labeler.tasks}
        self.finders = [PeakFinder(self.points, device) for _ in range(count)]

    def paint(self, task: Task, image: int, tile: Tile, said: Tensor) -> None:
        """said: float32 [M, P, outputs] of the tile's pixels in row order."""
        window = (image, slice(tile.top, tile.bottom), slice(tile.left, tile.right))
        canvas = self.uncertainty[task][window]
        if task == "segmentation":
            probabilities = said.softmax(-1)
            self.mask[window] = classes(probabilities, self.config.aggregation).view(canvas.shape)
            canvas.copy_(js_divergence(probabilities).view(canvas.shape))
            return
        canvas.copy_(variance(said).view(canvas.shape))
        if task == "keypoints":
            self.finders[image].look(said.mean(0), tile.top, tile.left, tile.right - tile.left)
        elif self.depth is not None:
            self.depth[window] = said.mean(0)[:, 0].clamp_min(0).view(canvas.shape)

    def labels(self) -> Labels:
        """What was painted, with the scores."""
        voted = self.mask if self.voted_classes else None
        scores = {
            task: image_scores(maps, self.config.score, voted, self.voted_classes)
            for task, maps in self.uncertainty.items()
        }
        mask = self.mask
        if voted is not None and self.collapse is not None:
            mask = torch.tensor(self.collapse.targets, dtype=torch.uint8, device=self.device)[mask.long()]
        points = [finder.points(self.config.keypoint_peak) for finder in self.finders]
        keypoints = torch.stack(points) if self.points else None
        return Labels(mask, keypoints, self.depth, self.uncertainty, scores)
