"""A second training of an interpreter, on all labelled images, once the held-out ones are scored."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import checkpoint_io
from core.generators.interface import Codes, FeatureSource
from core.labeling.interpreter.config import InterpreterConfig
from core.labeling.interpreter.labeler import InterpreterLabeler
from core.labeling.interpreter.training import train_interpreter
from core.run import Run

_RUN = "interpreter in two trainings"


def train_on_all_images(
    source: FeatureSource,
    codes: Codes,
    masks: Tensor | NDArray[np.uint8],
    class_count: int,
    config: InterpreterConfig,
    *,
    origins: Sequence[int] | None = None,
    run: Run | None = None,
) -> InterpreterLabeler:
    """Train an interpreter without the held-out images, then again on all; its report has the scores of the first.

    Arguments and errors: those of :func:`core.labeling.interpreter.training.train_interpreter`. ``run.checkpoint`` gets
    states of either training.
    """
    run = run or Run()
    measured: dict[str, Any] | None = None
    state: bytes | None = None
    if run.resume_from is not None:
        # Each training knows its own state by settings, seed and data.
        tensors, measured = checkpoint_io.unpack(run.resume_from, _RUN, "")
        state = tensors["state"].numpy().tobytes()
    if measured is None:
        first = train_interpreter(
            source, codes, masks, class_count, config, origins=origins, run=_part(run, None, state)
        )
        measured, state = first.report, None
    everything = replace(config, held_out=0)
    labeler = train_interpreter(
        source, codes, masks, class_count, everything, origins=origins, run=_part(run, measured, state)
    )
    report = {**labeler.report, "held_out": measured["held_out"], "trained_on_all": True}
    return replace(labeler, config=config, report=report)


def _part(run: Run, measured: dict[str, Any] | None, state: bytes | None) -> Run:
    """Surroundings of one of the two trainings. ``measured``: report of the first, None while it runs."""
    keep = run.checkpoint

    def checkpoint(content: bytes) -> None:
        if keep is not None:
            tensors = {"state": torch.frombuffer(bytearray(content), dtype=torch.uint8)}
            keep(checkpoint_io.pack(tensors, _RUN, "", measured))

    def progress(done: int, total: int) -> None:
        run.progress(done + (total if measured is not None else 0), 2 * total)

    return replace(run, checkpoint=None if keep is None else checkpoint, resume_from=state, progress=progress)
