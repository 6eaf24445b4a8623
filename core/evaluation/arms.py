"""The arms of an evaluation: what is compared, on which images, each net trained once for each repeat."""

import io
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import EvaluationError, Problem
from core.evaluation.arm_comparison import ArmScores, Resampled
from core.evaluation.arm_progress import ArmProgress
from core.evaluation.downstream.baselines import BASELINES, EVERY, Baseline
from core.evaluation.downstream.config import LABEL_AUGMENTATIONS, UNTUNED, DownstreamConfig
from core.evaluation.downstream.frozen_features import FrozenFeatures
from core.evaluation.downstream.images import ArrayImages, LabelledImages
from core.evaluation.downstream.loss import TargetFormat
from core.evaluation.downstream.networks import build_network
from core.evaluation.downstream.training import FINE_TUNE_STEPS, Start, Trained, fine_tune, train_downstream
from core.evaluation.metrics.published_weights import TRUNKS, PublishedWeights
from core.evaluation.metrics.vision_transformers import SelfSupervised
from core.evaluation.scoring import Scoring, Taught
from core.label_sets.classes import ClassMap
from core.label_sets.flip import mirrored_pairs
from core.run import Run

GENERATED, FINE_TUNED_ON_LABELS = "generated", "generated, then fine-tuned"
"""Trained on the dataset alone; the same net, then fine-tuned on the labelled images. The better one stands for it."""
CANDIDATES = (GENERATED, FINE_TUNED_ON_LABELS)
GENERATED_LABELS = "labels on generated images"
"""DatasetGAN's way: the dataset's images with labels of a labeler that learnt from labelled generated images."""
DESCRIPTIONS = {
    GENERATED: "on this dataset",
    FINE_TUNED_ON_LABELS: "on this dataset first, then fine-tune on the labelled images at a lower rate",
    "strong_augmentation": "on the labelled images alone, with strong augmentation",
    "from_scratch": "on the labelled images alone, with ordinary augmentation",
    "fine_tuned": "on the labelled images alone, from published weights",
    "head_only": "on the labelled images alone, a head on a published trunk",
    "frozen_features": "on the labelled images alone, a small head on frozen self-supervised features",
}
"""What "train …" means for each arm, for people."""
VALIDATED_SHARE, LEAST_VALIDATED = 0.25, 8
"""Part of the held-out images that chooses the augmentation (and the step, where a recipe asks for that), and the
number of held-out images from which it is set apart; it then judges nothing.
"""
CHECKPOINT_EVERY = 500
_DRAWS, _STREAM = 200, 43
"""Bootstrap resamples of the test images, and their random stream."""


@dataclass(frozen=True)
class EvaluationConfig:
    """``downstream``: where it names no mirrored pairs, they are found by the names of the parts. ``repeats``: of every
    arm. ``baselines``: which to train, :data:`EVERY` always among them. ``weights``: published ones; every net starts
    from its trunk where that is there.
    """

    downstream: DownstreamConfig = field(default_factory=DownstreamConfig)
    repeats: int = 5
    baselines: tuple[Baseline, ...] = (EVERY, "head_only", "frozen_features")
    weights: PublishedWeights = field(default_factory=PublishedWeights)
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.repeats < 1:
            problems.append(Problem("at least one is needed", "repeats"))
        if unknown := sorted(set(self.baselines) - set(BASELINES)):
            problems.append(Problem(f"{', '.join(unknown)}: none of {', '.join(BASELINES)}", "baselines"))
        if problems:
            raise EvaluationError("invalid evaluation settings", problems)

    @property
    def start(self) -> Start:
        """Where every net starts: its published trunk, or random weights."""
        return Start(trunk_weights=self.weights.find(TRUNKS.get(self.downstream.network, "")))

    @property
    def backbone(self) -> SelfSupervised | None:
        """The self-supervised backbone that there are weights for."""
        names: tuple[SelfSupervised, ...] = ("dinov3", "dinov2")
        return next((one for one in names if self.weights.find(one)), None)

    @property
    def left_out(self) -> dict[Baseline, str]:
        """Baselines that were asked for and cannot be tried, each with the reason."""
        published = self.start.trunk_weights is not None
        reasons: dict[Baseline, str] = {}
        if published:
            reasons["from_scratch"] = "published weights are there, and every net starts from them"
        else:
            why = f"no published weights of the trunk of {self.downstream.network}"
            reasons.update({"fine_tuned": why, "head_only": why})
        if self.backbone is None:
            reasons["frozen_features"] = "no weights of a self-supervised backbone (dinov3.pth or dinov2.pth)"
        return {one: why for one, why in reasons.items() if one in self.baselines}

    @property
    def tried(self) -> tuple[Baseline, ...]:
        """The baselines that are trained."""
        return tuple(one for one in BASELINES if one == EVERY or (one in self.baselines and one not in self.left_out))


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
    """Every arm of the comparison, each trained once for each repeat. Where there are validation images, the
    augmentation of the labelled images is chosen first: one net of seed 0 for each, which is the first repeat of
    :data:`EVERY` for the one that is chosen.
    """

    def __init__(self, data: EvaluationData, config: EvaluationConfig, run: Run) -> None:
        self.data, self.config, self._run = data, config, run
        self._progress = ArmProgress.read(run.resume_from)
        mirrored = config.downstream.mirrored or mirrored_pairs(data.scoring.parts)
        self._recipe = replace(config.downstream, mirrored=mirrored)
        self._frozen: FrozenFeatures | None = None
        relabelled = () if data.relabelled is None else (GENERATED_LABELS,)
        self.baselines: tuple[str, ...] = (*config.tried, *relabelled)
        self.validated, self.test = self._split()
        random = np.random.default_rng([config.seed, _STREAM])
        self._picks = random.integers(0, len(self.test), (_DRAWS, len(self.test)))
        self._plan = self._planned()

    def _split(self) -> tuple[ArrayImages | None, ArrayImages]:
        """Held-out images that choose, and those that judge."""
        held_out = self.data.held_out
        if len(held_out) < LEAST_VALIDATED:
            return None, held_out
        order = np.random.default_rng(self.config.seed).permutation(len(held_out))
        count = round(VALIDATED_SHARE * len(held_out))
        chosen, rest = np.sort(order[:count]), np.sort(order[count:])
        return ArrayImages(*held_out.take(chosen)), ArrayImages(*held_out.take(rest))

    def _planned(self) -> list[tuple[str, int]]:
        """Keys of the trainings in their order, each with its steps. Repeats are the outer loop: an early stop leaves
        whole repeats.
        """
        steps = self.config.downstream.steps
        plan = [(_tuning(one), steps) for one in LABEL_AUGMENTATIONS] if self.validated else []
        for repeat in range(self.config.repeats):
            for name in (*CANDIDATES, *self.baselines):
                if not (name == EVERY and repeat == 0 and self.validated):
                    share = FINE_TUNE_STEPS if name == FINE_TUNED_ON_LABELS else 1.0
                    plan.append((f"{name} {repeat}", max(1, round(share * steps))))
        return [*plan, (_PROXY, steps)]

    @property
    def augmentation_scores(self) -> dict[str, float]:
        """Score of each augmentation on the validation images; empty without them."""
        done = self._progress.done
        return {one: done[_tuning(one)]["validation"] for one in LABEL_AUGMENTATIONS} if self.validated else {}

    @property
    def augmentation(self) -> str:
        """The augmentation of labelled images: the best on the validation images."""
        scores = self.augmentation_scores
        return max(scores, key=lambda one: scores[one]) if scores else UNTUNED

    def run(self) -> list[ArmScores]:
        """Scores of all arms, first those of :data:`CANDIDATES`."""
        for key, _ in self._plan:
            if key != _PROXY and key not in self._progress.done:
                self._run.stop_if_asked()
                name, _, repeat = key.rpartition(" ")
                trained = self._train(name, int(repeat), key)
                found = self._judged(trained)
                if name.startswith(_TUNING):
                    found["validation"] = self._validated(trained)
                start = _saved(trained) if name == GENERATED else b""
                self._progress = self._progress.finished(key, found, start)
                self._keep()
        return [self._scores(name) for name in (*CANDIDATES, *self.baselines)]

    def proxy(self) -> Trained:
        """A net trained on all real labels, the held-out ones too: a judge of labels, never a contestant."""
        labelled, held_out = self.data.labelled, self.data.held_out
        real = ArrayImages(
            np.concatenate([labelled.images, held_out.images]), np.concatenate([labelled.targets, held_out.targets])
        )
        return self._learn(real, self._run_of(_PROXY, self.config.seed), self._recipe)

    def _scores(self, name: str) -> ArmScores:
        done = self._progress.done
        keys = [f"{name} {repeat}" for repeat in range(self.config.repeats)]
        if name == EVERY and self.validated:
            keys[0] = _tuning(self.augmentation)
        found = [done[key] for key in keys]
        resampled = Resampled(
            np.stack([np.array(one["resampled"], float) for one in found]),
            self.data.scoring.shown(self.test.targets), len(self.test),
        )  # fmt: skip
        more = {metric: [float(one["more"][metric]) for one in found] for metric in found[0]["more"]}
        return ArmScores(name, np.array([one["scores"] for one in found], float), more, resampled)

    def _train(self, name: str, repeat: int, key: str) -> Trained:
        run = replace(
            self._run_of(key, self.config.seed + repeat),
            checkpoint=lambda state: self._keep(key, state),
            resume_from=self._progress.training if key == self._progress.key else None,
        )
        if name == GENERATED:
            return self._learn(self.data.generated, run, self._recipe)
        if name == GENERATED_LABELS:
            assert self.data.relabelled is not None
            return self._learn(self.data.relabelled, run, self._recipe)
        if name.startswith(_TUNING):
            return self._learn(self.data.labelled, run, self._with_augmentation(name.removeprefix(_TUNING)))
        tuned = self._with_augmentation(self.augmentation)
        if name == FINE_TUNED_ON_LABELS:
            labelled = Taught(self.data.labelled, self.data.scoring)
            return fine_tune(self._last_generated(), labelled, tuned, run=run, **self._shared())
        if name == "frozen_features":
            return self._on_frozen_features(tuned, run)
        start = replace(self.config.start, freeze_trunk=name == "head_only")
        own = self._recipe if name in ("from_scratch", "fine_tuned") else tuned
        return self._learn(self.data.labelled, run, own, start)

    def _with_augmentation(self, name: str) -> DownstreamConfig:
        return replace(self._recipe, **LABEL_AUGMENTATIONS[name])

    def _last_generated(self) -> Trained:
        """The net of this repeat that learnt from the dataset alone."""
        network = build_network(self._recipe, self.data.scoring.channels).to(self._run.device)
        state = torch.load(io.BytesIO(self._progress.start), map_location=self._run.device, weights_only=True)
        network.load_state_dict(state)
        return Trained(network, self.data.scoring.channels)

    def _on_frozen_features(self, recipe: DownstreamConfig, run: Run) -> Trained:
        scoring, backbone = self.data.scoring, self.config.backbone
        if self._frozen is None:
            assert backbone is not None
            weights = self.config.weights.find(backbone)
            assert weights is not None
            views = Run(self._run.device, self.config.seed, should_stop=self._run.should_stop)
            self._frozen = FrozenFeatures(backbone, weights, Taught(self.data.labelled, scoring), recipe, views)
        target = TargetFormat(scoring.ignore_index, scoring.heat)
        return self._frozen.train_head(scoring.channels, recipe, run=run, target=target)

    def _learn(self, images: LabelledImages, run: Run, recipe: DownstreamConfig, start: Start | None = None) -> Trained:
        scoring = self.data.scoring
        return train_downstream(
            Taught(images, scoring), scoring.channels, recipe, run=run, start=start or self.config.start,
            **self._shared(),
        )  # fmt: skip

    def _run_of(self, key: str, seed: int) -> Run:
        """Return the surroundings of a training; its progress is that of all trainings together."""
        keys = [one for one, _ in self._plan]
        before = sum(steps for _, steps in self._plan[: keys.index(key)])
        own, total = self._plan[keys.index(key)][1], sum(steps for _, steps in self._plan)

        def progress(done: int, of: int) -> None:
            self._run.progress(before + own * done // of, total)

        return Run(self._run.device, seed, progress, self._run.should_stop, checkpoint_every=CHECKPOINT_EVERY)

    def _shared(self) -> dict[str, Any]:
        """Return the arguments that are the same for every training of this evaluation. Validation images choose the
        step only where the recipe asks for it.
        """
        scoring, validated = self.data.scoring, self.validated
        chooses = validated is not None and self._recipe.validate_every
        return {
            "target": TargetFormat(scoring.ignore_index, scoring.heat),
            "validation": Taught(validated, scoring) if validated is not None and chooses else None,
        }

    def _judged(self, trained: Trained) -> dict[str, Any]:
        scoring = self.data.scoring
        said = scoring.said(trained, self.test.images)
        resampled = scoring.resampled(self.test.targets, said, self._picks)
        return {
            "scores": _values(scoring.scores(self.test.targets, said)),
            "resampled": [_values(one) for one in resampled.round(6)],
            "more": scoring.more(self.test.targets, said),
        }

    def _validated(self, trained: Trained) -> float:
        assert self.validated is not None
        said = self.data.scoring.said(trained, self.validated.images)
        scores = self.data.scoring.scores(self.validated.targets, said)
        known = scores[np.isfinite(scores)]
        return float(known.mean()) if len(known) else float("-inf")

    def _keep(self, key: str = "", training: bytes = b"") -> None:
        if self._run.checkpoint is not None:
            self._run.checkpoint(replace(self._progress, key=key, training=training).to_bytes())


_TUNING, _PROXY = "augmentation ", "proxy"


def _tuning(augmentation: str) -> str:
    return f"{_TUNING}{augmentation} 0"


def _values(scores: NDArray[np.float64]) -> list[float | None]:
    """JSON values, null for NaN."""
    return [None if np.isnan(one) else float(one) for one in scores]


def _saved(trained: Trained) -> bytes:
    stream = io.BytesIO()
    torch.save(trained.network.state_dict(), stream)
    return stream.getvalue()
