"""Cross-validation of a labeler: every labelled image is labelled by one that was not trained on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core import checkpoint_io
from core.errors import LabelerError, Problem
from core.generators.interface import Codes, FeatureSource
from core.label_sets.label_set import LabelItem
from core.labeling.interpreter.config import InterpreterConfig
from core.labeling.labeler import TrainedLabeler
from core.labeling.methods import MethodConfig, train_by_method
from core.run import Run

LEAST_IMAGES = 3
"""Two to learn from and one to look at."""
JUDGED_PIXELS = 4096
"""Pixels of each image whose confidence is compared with the truth."""
FOLD_STREAM = 4
"""Tells these random numbers from others of the same seed."""
_RUN = "cross-validation"


@dataclass(frozen=True, eq=False)
class HeldOutLabel:
    """The label of one image by a labeler that did not see it. Arrays of the label's size [H, W].

    ``mask``: uint8, the ignore index everywhere where there are no masks. ``keypoints``: float32 [K, 3] of x, y, peak,
    empty where there are none. ``depth``: float32, empty where there is none. ``uncertainty``: float16, of the task
    that ranks images, whose image score is ``score``. ``confidence``, ``correct``: at most :data:`JUDGED_PIXELS` pixels
    that are not ignored, the members' mean probability of the class it is largest for, and whether that is the truth.
    """

    mask: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    depth: NDArray[np.float32]
    uncertainty: NDArray[np.float16]
    score: NDArray[np.float64]
    confidence: NDArray[np.float32]
    correct: NDArray[np.bool_]


def cross_validate(
    source: FeatureSource,
    codes: Codes,
    items: Sequence[LabelItem],
    class_count: int,
    config: MethodConfig,
    folds: int = 5,
    *,
    origins: Sequence[int] | None = None,
    run: Run | None = None,
) -> list[HeldOutLabel]:
    """Train ``folds`` labelers, each on all images but its part of them, and label that part; in order of ``items``.

    codes: N codes. items: N labelled images of one size. class_count: 0 where they have no masks.
    origins: as :func:`core.labeling.training.train_labeler` has them: of several codes of an image the first is
    labelled, by a labeler that saw none of them. Each is trained as ``config`` says, with no more images held out for
    its own use than leave two to learn from. ``folds``: as many as there are images at most. ``run.progress``
    counts images. ``run.checkpoint`` is called after each fold but the last; ``run.resume_from`` takes those bytes and
    trains the others. Equal arguments give equal labels.

    Raises :class:`LabelerError` for fewer than three images or labels that teach nothing, :class:`core.errors.
    ResumeError` for what another cross-validation kept, :class:`core.errors.Stopped`.
    """
    run = run or Run()
    origin = np.arange(len(items)) if origins is None else np.asarray(origins)
    images = np.sort(np.unique(origin, return_index=True)[1])  # the first code of each
    count = len(images)
    if count < LEAST_IMAGES or folds < 2:
        problem = Problem(f"{folds} folds of {count} images; there have to be 2 of {LEAST_IMAGES} or more", "folds")
        raise LabelerError("these images cannot be cross-validated", [problem])
    order = images[np.random.default_rng([run.seed, FOLD_STREAM]).permutation(count)]
    parts = [np.sort(part) for part in np.array_split(order, min(folds, count))]
    settings = [class_count, config.to_json(), [part.tolist() for part in parts], origin.tolist(), run.seed]
    fingerprint = _fingerprint(source, codes, items, settings)
    done = {} if run.resume_from is None else _unpack(run.resume_from, fingerprint)
    for number, part in enumerate(parts):
        if set(part.tolist()) <= set(done):
            continue
        rest = np.flatnonzero(~np.isin(origin, origin[part]))
        before = len(done)

        def tell(step: int, total: int, before: int = before, images: int = len(part)) -> None:
            run.progress(before + images * step // (total + 1), count)

        labeler = train_by_method(
            source,
            codes[rest.tolist()],
            [items[index] for index in rest.tolist()],
            class_count,
            _with_held_out(config, count - len(part)),
            origins=origin[rest].tolist(),
            run=replace(run, progress=tell, checkpoint=None, resume_from=None, log=None),
        )
        random = np.random.default_rng([run.seed, FOLD_STREAM, number])
        for index in part.tolist():
            done[index] = _label(
                source, labeler, codes[index : index + 1].to(run.device), items[index], config.ignore_index, random
            )
        run.progress(len(done), count)
        if run.checkpoint is not None and len(done) < count:
            run.checkpoint(_pack(done, fingerprint))
    return [done[index] for index in images.tolist()]


def _with_held_out(config: MethodConfig, images: int) -> MethodConfig:
    held_out = max(0, min(config.held_out, images - 2))
    # What is looked at is not in any training: one training each is enough.
    if isinstance(config, InterpreterConfig):
        return replace(config, held_out=held_out, train_on_all=False)
    return replace(config, held_out=held_out, patience=config.patience if held_out else None, train_on_all=False)


@torch.inference_mode()
def _label(
    source: FeatureSource,
    labeler: TrainedLabeler,
    code: Codes,
    item: LabelItem,
    ignore_index: int,
    random: np.random.Generator,
) -> HeldOutLabel:
    synthesis = source.synthesize(code, with_features=True)
    labels = labeler.label_synthesis(synthesis, item.size)
    usable = np.flatnonzero(item.mask.ravel() != ignore_index)
    if len(usable) > JUDGED_PIXELS:
        usable = np.sort(random.choice(usable, JUDGED_PIXELS, replace=False))
    confidence, correct = np.zeros(0, np.float32), np.zeros(0, bool)
    if labeler.class_count and len(usable):
        said = labeler.say_synthesis(synthesis, item.size, torch.from_numpy(usable), "segmentation")
        top = said.softmax(-1).mean(0).max(-1)
        confidence, correct = top.values.cpu().numpy(), top.indices.cpu().numpy() == item.mask.ravel()[usable]
    empty = np.zeros(0, np.float32)
    return HeldOutLabel(
        mask=labels.mask[0].cpu().numpy(),
        keypoints=empty if labels.keypoints is None else labels.keypoints[0].cpu().numpy(),
        depth=empty if labels.depth is None else labels.depth[0].cpu().numpy(),
        uncertainty=labels.divergence[0].half().cpu().numpy(),
        score=labels.scores[:1].cpu().numpy(),
        confidence=confidence,
        correct=correct,
    )


def _fingerprint(source: FeatureSource, codes: Codes, items: Sequence[LabelItem], settings: Sequence[Any]) -> str:
    labels = [array for item in items for array in (item.mask, item.keypoints, item.depth)]
    facts = [*settings, [None if array is None else array.shape for array in labels], source.feature_digest]
    known = [torch.from_numpy(np.ascontiguousarray(array)) for array in labels if array is not None]
    return checkpoint_io.fingerprint(facts, [*source.tensors(), *codes.tensors(), *known])


def _pack(done: dict[int, HeldOutLabel], fingerprint: str) -> bytes:
    tensors = {
        f"{index}.{name}": torch.from_numpy(np.ascontiguousarray(array))
        for index, label in done.items()
        for name, array in vars(label).items()
    }
    return checkpoint_io.pack(tensors, _RUN, fingerprint)


def _unpack(content: bytes, fingerprint: str) -> dict[int, HeldOutLabel]:
    """The inverse of :func:`_pack`. Raises :class:`ResumeError` for damaged bytes or another cross-validation's."""
    images: dict[int, dict[str, Any]] = {}
    for key, tensor in checkpoint_io.unpack(content, _RUN, fingerprint)[0].items():
        index, name = key.split(".", 1)
        images.setdefault(int(index), {})[name] = tensor.numpy()
    return {index: HeldOutLabel(**arrays) for index, arrays in images.items()}
