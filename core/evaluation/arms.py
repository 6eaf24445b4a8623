"""The arms of an evaluation: what is compared, on which images, each net trained once for each repeat."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.callbacks import Progress, ShouldStop, stop_if_asked
from core.datasets.classes import ClassMap
from core.errors import EvaluationError, Problem
from core.evaluation.downstream.baselines import BASELINES, Baseline, Pretrained, pretrain_on, train_baseline
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages, LabelledImages
from core.evaluation.downstream.training import Trained, predict_masks, train_downstream
from core.evaluation.gates import ArmScores
from core.evaluation.overlap import image_confusions, pooled_iou

GENERATED, MIXED = "generated", "generated, then labelled"
"""Trained on the dataset alone; the same, then fine-tuned on the labelled images."""


@dataclass(frozen=True)
class EvaluationConfig:
    """``repeats``: paired repeats of every arm. ``baselines``: which to train. ``trunk_weights``: published weights
    that transfer starts from; without them a trunk is pretrained on the generated images, and the report says so.
    """

    downstream: DownstreamConfig = field(default_factory=DownstreamConfig)
    repeats: int = 3
    baselines: tuple[Baseline, ...] = BASELINES
    trunk_weights: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.repeats < 1:
            problems.append(Problem("at least one is needed", "repeats"))
        if not self.baselines or set(self.baselines) - set(BASELINES):
            problems.append(Problem(f"at least one of {', '.join(BASELINES)}", "baselines"))
        if problems:
            raise EvaluationError("these are no settings to evaluate with", problems)


@dataclass(frozen=True)
class EvaluationData:
    """``generated`` with its ``uncertainty``, float64 [G]; the ``labelled`` images that it was made from; ``held_out``
    ones that it was not. All of one size; masks hold class ids or the ignore index. ``labelled_names``: for words.
    """

    classes: ClassMap
    generated: LabelledImages
    uncertainty: NDArray[np.float64]
    labelled: ArrayImages
    held_out: ArrayImages
    labelled_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = [
            Problem(f"{len(part)} images; at least {least} are needed", name)
            for name, part, least in (
                ("dataset", self.generated, 8), ("labelled", self.labelled, 2), ("held_out", self.held_out, 2),
            )
            if len(part) < least
        ]  # fmt: skip
        if not problems:
            size = self.generated.take(np.array([0]))[0].shape[1:3]
            problems = [
                Problem(f"images of {part.images.shape[1:3]} where the dataset has {size}", name)
                for name, part in (("labelled", self.labelled), ("held_out", self.held_out))
                if part.images.shape[1:3] != size
            ]
        if problems:
            raise EvaluationError("these images cannot be evaluated", problems)


class Arms:
    """Every arm of the comparison, each trained once for each repeat."""

    def __init__(
        self,
        data: EvaluationData,
        config: EvaluationConfig,
        device: torch.device | str,
        should_stop: ShouldStop,
        checkpoint: Callable[[bytes], None] | None,
        resume_from: bytes | None,
        progress: Progress,
    ) -> None:
        self.data, self.config, self.device, self.should_stop = data, config, device, should_stop
        self._checkpoint, self._progress = checkpoint, progress
        self._done: dict[str, list[float | None]] = json.loads(resume_from) if resume_from else {}
        self._pretrained: Pretrained | None = None
        self.pretrained_name = ""
        if config.trunk_weights is not None:
            self._pretrained = Pretrained(config.trunk_weights.name, weights=config.trunk_weights)
            self.pretrained_name = self._pretrained.name
        elif set(config.baselines) - {"from_scratch"}:
            self.pretrained_name = f"denoising of {len(data.generated)} generated images"
        self._names: list[str] = [GENERATED, MIXED, *config.baselines]

    def run(self) -> list[ArmScores]:
        """Scores of all arms. Repeats are the outer loop: an early stop leaves whole pairs."""
        total = self.config.repeats * len(self._names) + 1
        for repeat in range(self.config.repeats):
            for name in self._names:
                key = f"{name} {repeat}"
                if key not in self._done:
                    stop_if_asked(self.should_stop)
                    iou = self._iou(self._train(name, self.config.seed + repeat))
                    self._done[key] = [None if np.isnan(one) else float(one) for one in iou]
                    if self._checkpoint is not None:
                        self._checkpoint(json.dumps(self._done).encode())
                self._progress(repeat * len(self._names) + self._names.index(name) + 1, total)
        return [
            ArmScores(name, np.array([self._done[f"{name} {repeat}"] for repeat in range(self.config.repeats)], float))
            for name in self._names
        ]

    def proxy(self) -> Trained:
        """A net trained on all real labels, the held-out ones too: a judge of labels, never a contestant."""
        labelled, held_out = self.data.labelled, self.data.held_out
        real = ArrayImages(
            np.concatenate([labelled.images, held_out.images]), np.concatenate([labelled.targets, held_out.targets])
        )
        trained = self._learn(real, self.config.downstream, self.config.seed)
        total = self.config.repeats * len(self._names) + 1
        self._progress(total, total)
        return trained

    def _train(self, name: str, seed: int) -> Trained:
        config, labelled = self.config.downstream, self.data.labelled
        if name == GENERATED:
            return self._learn(self.data.generated, config, seed)
        if name == MIXED:
            return self._learn(self.data.generated, replace(config, fine_tune_steps=max(1, config.steps // 4)), seed)
        if name != "from_scratch" and self._pretrained is None:
            self._pretrained = pretrain_on(
                self.data.generated, config, self.config.seed, self.device, should_stop=self.should_stop
            )
        baseline: Baseline = next(one for one in BASELINES if one == name)
        return train_baseline(
            baseline, labelled, self.data.classes.count, config, seed=seed, pretrained=self._pretrained,
            ignore_index=self.data.classes.ignore_index, device=self.device, should_stop=self.should_stop,
        )  # fmt: skip

    def _learn(self, images: LabelledImages, config: DownstreamConfig, seed: int) -> Trained:
        return train_downstream(
            images, self.data.classes.count, config, seed=seed, ignore_index=self.data.classes.ignore_index,
            fine_tune_on=self.data.labelled if config.fine_tune_steps else None, device=self.device,
            should_stop=self.should_stop,
        )  # fmt: skip

    def _iou(self, trained: Trained) -> NDArray[np.float64]:
        test = self.data.held_out
        predicted = predict_masks(trained, test.images)
        classes = self.data.classes
        return pooled_iou(image_confusions(test.targets, predicted, classes.count, classes.ignore_index))
