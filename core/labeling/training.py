"""Training the ensemble: all members at once, on pixels gathered from native features, never on hypercolumn images."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import checkpoint_io
from core.callbacks import Log, Progress, ShouldStop, ignore_progress, never_stop
from core.errors import LabelerError, Problem
from core.generators.stylegan2.network import Network, Noise
from core.labeling.checkpoint import pack_heads, unpack_heads
from core.labeling.config import LabelerConfig
from core.labeling.hypercolumn import SelectedLayers
from core.labeling.labeler import Head, Labeler
from core.labeling.labelled_pixels import LabelledPixels
from core.labeling.pixel_source import MEMORY_BYTES, PixelSource
from core.labeling.targets import MaskTarget, Target
from core.labeling.trainer import Trainer
from core.tasks.task import TASKS


def train_labeler(
    generator: Network,
    w_plus: Tensor,
    targets: Sequence[Target],
    config: LabelerConfig | None = None,
    *,
    origins: Sequence[int] | None = None,
    noise: Noise = "const",
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
    checkpoint: Callable[[bytes], None] | None = None,
    checkpoint_every: int = 500,
    resume_from: bytes | None = None,
    memory_bytes: int = MEMORY_BYTES,
    folder: Path | None = None,
    log: Log | None = None,
) -> Labeler:
    """Train a labeler on inverted labelled images (HandsOff section 3.3): an ensemble for each task in turn, all of
    them on one set of features.

    generator: frozen, on ``device``. w_plus: float [N, num_ws, w_dim]. targets: labels of these N images, one target a
    task, all of one size up to the generator's resolution. origins: the number of the labelled image that each code is
    of, where an image has several (its mirror image's beside its own): these are held out together, and ``held_out``
    counts images. noise: "const" or "none".
    checkpoint: called with the state as bytes every ``checkpoint_every`` steps; ``resume_from`` takes such bytes and
    goes on to the same result, bit for bit. Equal arguments give equal labelers on the same machine.
    log: told ``step``, ``loss`` and, of held-out images, ``accuracy`` every ``measure_every`` steps of each task.
    memory_bytes, folder: features of more than so many bytes, in half precision, go to a temporary file in ``folder``
    (None: the system's), which changes nothing but the time.

    Raises :class:`LabelerError` for labels that do not fit or teach nothing, :class:`core.errors.ResumeError` for the
    state of another training, :class:`core.errors.Stopped` when asked.
    """
    config = config or LabelerConfig()
    targets = sorted(targets, key=lambda target: TASKS.index(target.task))
    origins = range(len(w_plus)) if origins is None else origins
    _check(generator, w_plus, targets, origins, config, noise)
    w_plus = w_plus.to(device, torch.float32)
    layers = SelectedLayers(generator.feature_layers, config)
    source = PixelSource(generator, w_plus, layers, targets[0].size, noise, memory_bytes, folder)
    fingerprint = _fingerprint(generator, w_plus, targets, origins, config, noise, seed)
    heads, state = ([], None) if resume_from is None else unpack_heads(resume_from, fingerprint, config.members)
    with closing(source):
        for index, target in enumerate(targets[len(heads) :], start=len(heads)):

            def tell(done: int, total: int, first: int = index) -> None:
                # Tasks count alike, each as many steps as this one has.
                progress(first * total + done, len(targets) * total)

            def keep(content: bytes, done: Sequence[Head] = tuple(heads)) -> None:
                if checkpoint is not None:
                    checkpoint(pack_heads(done, content, fingerprint))

            pixels = LabelledPixels(source, target, origins, config, seed, should_stop)
            trainer = Trainer(pixels, config, seed, device)
            if state is not None:
                trainer.state.restore(state, fingerprint)
            for step in trainer.steps(should_stop):
                tell(step, trainer.total)
                if log is not None and (point := trainer.point()):
                    log(point)
                if step % checkpoint_every == 0 and step < trainer.total:
                    keep(trainer.state.to_bytes(fingerprint))
            tell(trainer.total, trainer.total)
            heads, state = [*heads, trainer.finished()], None
    return Labeler(tuple(heads), generator.feature_layers, config, noise)


def train_ensemble(
    generator: Network,
    w_plus: Tensor,
    masks: Tensor | NDArray[np.uint8],
    class_count: int,
    config: LabelerConfig | None = None,
    **options: Any,
) -> Labeler:
    """:func:`train_labeler` on masks alone, uint8 [N, H, W] of class ids below ``class_count`` or the ignore index."""
    return train_labeler(generator, w_plus, [MaskTarget(masks, class_count)], config, **options)


def _check(
    generator: Network,
    w_plus: Tensor,
    targets: Sequence[Target],
    origins: Sequence[int],
    config: LabelerConfig,
    noise: Noise,
) -> None:
    problems = []
    rows = (generator.num_ws, generator.config.w_dim)
    if w_plus.ndim != 3 or w_plus.shape[1:] != rows or not w_plus.isfinite().all():
        problems.append(Problem(f"not finite codes [N, {rows[0]}, {rows[1]}]", "w_plus"))
    tasks = [target.task for target in targets]
    if not tasks or len(set(tasks)) < len(tasks) or len({target.size for target in targets}) > 1:
        problems.append(Problem("not one target a task, all of one size", "targets"))
    for target in targets:
        field, wrong = target.field, target.check()
        problems += wrong
        if not wrong and target.count != len(w_plus):
            problems.append(Problem(f"{target.count} labels for {len(w_plus)} codes", field))
        elif not wrong and any(s > limit for s, limit in zip(target.size, generator.config.resolution, strict=True)):
            problems.append(Problem(f"larger than the generator's {generator.config.resolution}", field))
        elif not wrong and isinstance(target, MaskTarget):
            problems += target.unknown_ids(config)
    if len(origins) != len(w_plus):
        problems.append(Problem(f"{len(origins)} for {len(w_plus)} codes", "origins"))
    if config.held_out >= (images := len(set(origins))):
        problems.append(Problem(f"{images} images leave none to train on", "held_out"))
    if noise == "random":
        problems.append(Problem("images drawn anew each time cannot be labelled", "noise"))
    if problems:
        raise LabelerError("a labeler cannot be trained on this", problems)


def _fingerprint(
    generator: Network,
    w_plus: Tensor,
    targets: Sequence[Target],
    origins: Sequence[int],
    config: LabelerConfig,
    noise: Noise,
    seed: int,
) -> str:
    tasks = [[target.task, target.outputs] for target in targets]
    settings = [config.to_json(), tasks, list(origins), noise, seed, generator.config.to_json()]
    given = [w_plus, *(target.labels for target in targets)]
    return checkpoint_io.fingerprint(settings, [*generator.state_dict().values(), *given])
