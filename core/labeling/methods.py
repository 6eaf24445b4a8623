"""The methods by which a labeler can be trained, and the choice between them by the settings."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.errors import LabelerError, Problem
from core.generators.interface import Codes, FeatureSource
from core.label_sets.label_set import LabelItem
from core.labeling.config import LabelerConfig
from core.labeling.interpreter.config import METHOD, InterpreterConfig
from core.labeling.interpreter.retraining import train_on_all_images
from core.labeling.interpreter.training import train_interpreter
from core.labeling.labeler import TrainedLabeler
from core.labeling.targets import targets_of
from core.labeling.training import train_labeler
from core.run import Run

MethodConfig = LabelerConfig | InterpreterConfig
"""Settings of the pixel ensemble, or of the feature interpreter."""


def config_from_json(values: Any) -> MethodConfig:
    """Read the settings of either method. Raises :class:`LabelerError` that names every wrong field."""
    if isinstance(values, dict) and values.get("method") == METHOD:
        return InterpreterConfig.from_json(values)
    return LabelerConfig.from_json(values)


def train_by_method(
    source: FeatureSource,
    codes: Codes,
    items: Sequence[LabelItem],
    class_count: int,
    config: MethodConfig,
    *,
    origins: Sequence[int] | None = None,
    run: Run | None = None,
) -> TrainedLabeler:
    """Train a labeler on labelled images of one size, by the method that ``config`` belongs to.

    class_count: 0 where the images have no masks. Other arguments, results and errors: those of
    :func:`core.labeling.training.train_labeler` and
    :func:`core.labeling.interpreter.training.train_interpreter`, which learns masks alone.
    """
    if isinstance(config, LabelerConfig):
        targets = targets_of(items, class_count, config)
        return train_labeler(source, codes, targets, config, origins=origins, run=run)
    if not class_count or any(item.keypoints is not None or item.depth is not None for item in items):
        problem = Problem("an interpreter learns masks alone; use the method pixels", "/labeler/method")
        raise LabelerError("these labels cannot be learnt by an interpreter", [problem])
    masks = np.stack([item.mask for item in items])
    train = train_on_all_images if config.held_out and config.train_on_all else train_interpreter
    return train(source, codes, masks, class_count, config, origins=origins, run=run)
