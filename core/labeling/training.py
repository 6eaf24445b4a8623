"""Training the ensemble: all members at once, on pixels gathered from native features, never on hypercolumn images."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core import checkpoint_io
from core.errors import GeneratorError, LabelerError, Problem
from core.generators.interface import Codes, FeatureSource
from core.labeling.checkpoint import Position, pack_position, unpack_position
from core.labeling.config import LabelerConfig
from core.labeling.hypercolumn import SelectedLayers
from core.labeling.labeler import Head, Labeler
from core.labeling.labelled_pixels import LabelledPixels
from core.labeling.pixel_source import MEMORY_BYTES, PixelSource
from core.labeling.targets import MaskTarget, Target
from core.labeling.trainer import Trainer
from core.run import Run
from core.tasks.task import TASKS

CHECKPOINT_EVERY = 500
"""Steps between two checkpoints."""


def train_labeler(
    source: FeatureSource,
    codes: Codes,
    targets: Sequence[Target],
    config: LabelerConfig | None = None,
    *,
    origins: Sequence[int] | None = None,
    run: Run | None = None,
) -> Labeler:
    """Train a labeler on inverted labelled images (HandsOff section 3.3): an ensemble for each task in turn, all of
    them on one set of features.

    source: what draws the features, on ``run.device``. codes: N codes. targets: labels of these N images, one target a
    task, all of one size up to the generator's resolution. origins: the number of the labelled image of each code,
    where an image has several (its mirror image's beside its own): these are held out together, and ``held_out``
    counts images. With held-out images each task is trained twice: first without them, for scores and a temperature,
    then on all images (``config.train_on_all``).

    run.checkpoint: called every 500 steps unless ``checkpoint_every`` is given; ``resume_from`` continues to the same
    result, bit for bit. run.log: called with ``step``, ``loss`` and, for held-out images, ``accuracy`` every
    ``measure_every`` steps of each task. run.memory_bytes: features of more bytes, in half precision, go to a temporary
    file in ``run.folder``, which changes nothing but the time. Equal arguments give equal labelers on the same machine.

    Raises :class:`LabelerError` for labels that do not fit or teach nothing, :class:`core.errors.ResumeError` for the
    state of another training, :class:`core.errors.Stopped` when asked.
    """
    run = run or Run()
    config = config or LabelerConfig()
    targets = sorted(targets, key=lambda target: TASKS.index(target.task))
    origins = range(len(codes)) if origins is None else origins
    _check(source, codes, targets, origins, config)
    codes = codes.to(run.device)
    layers = SelectedLayers(source.layers, config)
    memory_bytes = MEMORY_BYTES if run.memory_bytes is None else run.memory_bytes
    pixel_source = PixelSource(source, codes, layers, targets[0].size, memory_bytes, run.folder)
    fingerprint = _fingerprint(source, codes, targets, origins, config, run.seed)
    every = run.checkpoint_every or CHECKPOINT_EVERY
    at = Position() if run.resume_from is None else unpack_position(run.resume_from, fingerprint, config.members)
    trainings = 2 if config.held_out and config.train_on_all else 1
    with closing(pixel_source):
        for index, target in enumerate(targets[len(at.done) :], start=len(at.done)):
            for number in range(0 if at.measured is None else 1, trainings):
                settings = config if at.measured is None else _on_all_images(config, at.measured)
                pixels = LabelledPixels(pixel_source, target, origins, settings, run.seed, run.should_stop)
                trainer = Trainer(pixels, settings, run.seed, run.device)
                if at.state is not None:
                    trainer.state.restore(at.state, fingerprint)
                # Trainings count alike, each as many steps as this one has.
                first, total = (index * trainings + number) * trainer.total, len(targets) * trainings * trainer.total
                for step in trainer.steps(run.should_stop):
                    run.progress(first + step, total)
                    if run.log is not None and (point := trainer.point()):
                        run.log(point)
                    if run.checkpoint is not None and step % every == 0 and step < trainer.total:
                        state = trainer.state.to_bytes(fingerprint)
                        run.checkpoint(pack_position(Position(at.done, at.measured, state), fingerprint))
                run.progress(first + trainer.total, total)
                head = trainer.finished() if at.measured is None else _with_scores(trainer.finished(), at.measured)
                at = Position(at.done, head.report)
            at = Position((*at.done, head))
    return Labeler(at.done, source.layers, config, source.feature_digest)


def _on_all_images(config: LabelerConfig, measured: Mapping[str, Any]) -> LabelerConfig:
    """Settings of the second training, on all images. ``measured``: report of the first one; where that ended early,
    the second takes as many steps as were best.
    """
    steps = config.max_steps
    if config.patience is not None:
        steps = max(measured["held_out"]["curve"], key=lambda point: point[1])[0]
    return replace(config, held_out=0, patience=None, max_steps=steps)


def _with_scores(head: Head, measured: Mapping[str, Any]) -> Head:
    """The head trained on all images, with the scores and the temperature that the first training has found."""
    report = {**head.report, **{name: measured[name] for name in ("held_out", "calibration")}, "trained_on_all": True}
    calibration, ensemble = measured["calibration"], head.ensemble
    return Head(head.task, ensemble.scaled(1 / calibration["temperature"]) if calibration else ensemble, report)


def train_ensemble(
    source: FeatureSource,
    codes: Codes,
    masks: Tensor | NDArray[np.uint8],
    class_count: int,
    config: LabelerConfig | None = None,
    **options: Any,
) -> Labeler:
    """:func:`train_labeler` on masks alone, uint8 [N, H, W] of class ids below ``class_count`` or the ignore index."""
    return train_labeler(source, codes, [MaskTarget(masks, class_count)], config, **options)


def _check(
    source: FeatureSource, codes: Codes, targets: Sequence[Target], origins: Sequence[int], config: LabelerConfig
) -> None:
    problems: list[Problem] = []
    try:
        source.check_codes(codes)
    except GeneratorError as error:
        problems += error.problems
    tasks = [target.task for target in targets]
    if not tasks or len(set(tasks)) < len(tasks) or len({target.size for target in targets}) > 1:
        problems.append(Problem("not one target a task, all of one size", "targets"))
    for target in targets:
        field, wrong = target.field, target.check()
        problems += wrong
        if not wrong and target.count != len(codes):
            problems.append(Problem(f"{target.count} labels for {len(codes)} codes", field))
        elif not wrong and any(s > limit for s, limit in zip(target.size, source.resolution, strict=True)):
            problems.append(Problem(f"larger than the generator's {source.resolution}", field))
        elif not wrong and isinstance(target, MaskTarget):
            problems += target.unknown_ids(config)
    if len(origins) != len(codes):
        problems.append(Problem(f"{len(origins)} for {len(codes)} codes", "origins"))
    if config.held_out >= (images := len(set(origins))):
        problems.append(Problem(f"{images} images leave none to train on", "held_out"))
    if problems:
        raise LabelerError("a labeler cannot be trained on this", problems)


def _fingerprint(
    source: FeatureSource,
    codes: Codes,
    targets: Sequence[Target],
    origins: Sequence[int],
    config: LabelerConfig,
    seed: int,
) -> str:
    tasks = [[target.task, target.outputs] for target in targets]
    settings = [config.to_json(), tasks, list(origins), seed, source.feature_digest]
    given = [*codes.tensors(), *(target.labels for target in targets)]
    return checkpoint_io.fingerprint(settings, [*source.tensors(), *given])
