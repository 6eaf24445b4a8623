"""The arms of an evaluation: what is compared, on which images, each net trained once for each repeat."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import EvaluationError, Problem, ResumeError
from core.evaluation.downstream.baselines import BASELINES, Baseline, Pretrained, pretrain_on, train_baseline
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages, LabelledImages
from core.evaluation.downstream.training import TargetFormat, Trained, train_downstream
from core.evaluation.gates import ArmScores
from core.evaluation.metrics.published_weights import TRUNKS, PublishedWeights
from core.evaluation.scoring import Scoring, Taught
from core.label_sets.classes import ClassMap
from core.label_sets.flip import mirrored_pairs
from core.run import Run

GENERATED, MIXED = "generated", "generated, then labelled"
"""Trained on the dataset alone; the same, then fine-tuned on the labelled images."""
GENERATED_LABELS = "labels on generated images"
"""DatasetGAN's way: the dataset's images with labels of a labeler that learnt from labelled generated images."""
VALIDATED_SHARE = 0.25
"""Part of the held-out images that chooses the step, where a recipe asks for validation; it then judges nothing."""
CHECKPOINT_EVERY = 500


@dataclass(frozen=True)
class EvaluationConfig:
    """``downstream``: where it names no mirrored pairs, they are found by the names of the parts. ``repeats``: paired
    repeats of every arm. ``baselines``: which to train; without DINOv2's weights its features are left out, and the
    report says so. ``weights``: published ones; where a trunk's are absent, transfer starts from one pretrained on the
    generated images.
    """

    downstream: DownstreamConfig = field(default_factory=DownstreamConfig)
    repeats: int = 3
    baselines: tuple[Baseline, ...] = BASELINES
    weights: PublishedWeights = field(default_factory=PublishedWeights)
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.repeats < 1:
            problems.append(Problem("at least one is needed", "repeats"))
        if not self.baselines or set(self.baselines) - set(BASELINES):
            problems.append(Problem(f"at least one of {', '.join(BASELINES)}", "baselines"))
        elif not self.tried:
            problems.append(Problem("frozen_features alone, and the worker has no weights of DINOv2", "baselines"))
        if problems:
            raise EvaluationError("invalid evaluation settings", problems)

    @property
    def tried(self) -> tuple[Baseline, ...]:
        """The baselines that there are weights for."""
        return tuple(one for one in self.baselines if one != "frozen_features" or self.weights.find("dinov2"))


@dataclass(frozen=True)
class EvaluationData:
    """``generated`` with its ``uncertainty``, float64 [G]; the ``labelled`` images that it was made from; ``held_out``
    ones that it was not. All of one size, with labels of the task that ``scoring`` judges; ``classes`` are those of the
    masks, if any. ``labelled_names``: for words. ``dropped``: samples that the filter took out, with their uncertainty,
    for pictures. ``relabelled``: the generated images with labels that were learnt on generated images.
    """

    scoring: Scoring
    classes: ClassMap
    generated: LabelledImages
    uncertainty: NDArray[np.float64]
    labelled: ArrayImages
    held_out: ArrayImages
    labelled_names: tuple[str, ...] = ()
    dropped: ArrayImages | None = None
    dropped_uncertainty: NDArray[np.float64] | None = None
    relabelled: LabelledImages | None = None

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
    """Every arm of the comparison, each trained once for each repeat. A checkpoint holds the scores of those that are
    done, and the state of the net in training.
    """

    def __init__(
        self,
        data: EvaluationData,
        config: EvaluationConfig,
        run: Run,
    ) -> None:
        self.data, self.config, self._run = data, config, run
        head, _, self._training = (run.resume_from or b"").partition(b"\n")
        self._done: dict[str, dict[str, Any]] = {}
        self._interrupted = ""
        if run.resume_from is not None:
            try:
                state = json.loads(head)
                self._done, self._interrupted = state["done"], state["training"]
            except (ValueError, KeyError, TypeError) as error:
                problem = Problem(str(error)[:300], "checkpoint")
                raise ResumeError("this evaluation cannot continue from the checkpoint", [problem]) from error
        mirrored = config.downstream.mirrored or mirrored_pairs(data.scoring.parts)
        self._recipe = replace(config.downstream, mirrored=mirrored)
        self._pretrained: Pretrained | None = None
        trunk = config.weights.find(TRUNKS.get(config.downstream.network, ""))
        if trunk is not None:
            self._pretrained = Pretrained(trunk.name, weights=trunk)
            self.pretrained_name = trunk.name
        else:
            self.pretrained_name = (
                f"denoising of {len(data.generated)} generated images"
                if {"head_only", "fine_tuned"} & set(config.tried)
                else ""
            )
        relabelled = () if data.relabelled is None else (GENERATED_LABELS,)
        self.baselines: tuple[str, ...] = (*config.tried, *relabelled)
        self._names = (GENERATED, MIXED, *self.baselines)
        self._total = (config.repeats * len(self._names) + 1) * config.downstream.steps
        self.validated, self.test = self._split()

    def _split(self) -> tuple[ArrayImages | None, ArrayImages]:
        """Held-out images that choose the step, and those that judge."""
        held_out = self.data.held_out
        if not self.config.downstream.validate_every or len(held_out) < 4:
            return None, held_out
        order = np.random.default_rng(self.config.seed).permutation(len(held_out))
        count = max(2, round(VALIDATED_SHARE * len(held_out)))
        chosen, rest = np.sort(order[:count]), np.sort(order[count:])
        return ArrayImages(*held_out.take(chosen)), ArrayImages(*held_out.take(rest))

    def run(self) -> list[ArmScores]:
        """Scores of all arms. Repeats are the outer loop: an early stop leaves whole pairs."""
        for repeat in range(self.config.repeats):
            for number, name in enumerate(self._names):
                key = f"{name} {repeat}"
                if key not in self._done:
                    self._run.stop_if_asked()
                    trained = self._train(name, repeat, key, repeat * len(self._names) + number)
                    self._done[key] = self._judged(trained)
                    self._keep()
        rows = {name: [self._done[f"{name} {repeat}"] for repeat in range(self.config.repeats)] for name in self._names}
        return [
            ArmScores(
                name,
                np.array([one["scores"] for one in found], float),
                {metric: [float(one["more"][metric]) for one in found] for metric in found[0]["more"]},
            )
            for name, found in rows.items()
        ]

    def proxy(self) -> Trained:
        """A net trained on all real labels, the held-out ones too: a judge of labels, never a contestant."""
        labelled, held_out = self.data.labelled, self.data.held_out
        real = ArrayImages(
            np.concatenate([labelled.images, held_out.images]), np.concatenate([labelled.targets, held_out.targets])
        )
        last = self._total // self.config.downstream.steps - 1
        return self._learn(real, self._run_of(last, self.config.seed))

    def _train(self, name: str, repeat: int, key: str, number: int) -> Trained:
        config = self._recipe
        run = replace(
            self._run_of(number, self.config.seed + repeat),
            checkpoint=lambda state: self._keep(key, state),
            resume_from=self._training if key == self._interrupted else None,
        )
        if name == GENERATED:
            return self._learn(self.data.generated, run)
        if name == MIXED:
            mixed = replace(config, fine_tune_steps=max(1, config.steps // 4))
            real = Taught(self.data.labelled, self.data.scoring)
            return self._learn(self.data.generated, run, mixed, fine_tune_on=real)
        if name == GENERATED_LABELS:
            assert self.data.relabelled is not None
            return self._learn(self.data.relabelled, run)
        baseline: Baseline = next(one for one in BASELINES if one == name)
        return train_baseline(
            baseline, Taught(self.data.labelled, self.data.scoring), self.data.scoring.channels, config, run=run,
            pretrained=self._start(baseline), **self._shared(),
        )  # fmt: skip

    def _start(self, baseline: Baseline) -> Pretrained | None:
        if baseline == "from_scratch":
            return None
        if baseline == "frozen_features":
            return Pretrained("DINOv2 ViT-S/14", weights=self.config.weights.find("dinov2"))
        if self._pretrained is None:
            run = Run(self._run.device, self.config.seed, should_stop=self._run.should_stop)
            self._pretrained = pretrain_on(self.data.generated, self._recipe, run)
        return self._pretrained

    def _learn(
        self, images: LabelledImages, run: Run, config: DownstreamConfig | None = None, **settings: Any
    ) -> Trained:
        scoring = self.data.scoring
        return train_downstream(
            Taught(images, scoring), scoring.channels, config or self._recipe, run=run, **self._shared(), **settings,
        )  # fmt: skip

    def _run_of(self, number: int, seed: int) -> Run:
        """Return the surroundings of the ``number``-th training; its progress is that of all trainings together."""
        steps = self.config.downstream.steps

        def progress(done: int, total: int) -> None:
            self._run.progress(number * steps + steps * done // total, self._total)

        return Run(self._run.device, seed, progress, self._run.should_stop, checkpoint_every=CHECKPOINT_EVERY)

    def _shared(self) -> dict[str, Any]:
        """Return the arguments that are the same for every training of this evaluation."""
        scoring = self.data.scoring
        return {
            "target": TargetFormat(scoring.ignore_index, scoring.heat),
            "validation": Taught(self.validated, scoring) if self.validated is not None else None,
        }

    def _judged(self, trained: Trained) -> dict[str, Any]:
        scoring = self.data.scoring
        said = scoring.said(trained, self.test.images)
        scores = scoring.scores(self.test.targets, said)
        return {
            "scores": [None if np.isnan(one) else float(one) for one in scores],
            "more": scoring.more(self.test.targets, said),
        }

    def _keep(self, key: str = "", training: bytes = b"") -> None:
        if self._run.checkpoint is not None:
            self._run.checkpoint(json.dumps({"done": self._done, "training": key}).encode() + b"\n" + training)
