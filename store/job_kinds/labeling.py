"""Steps of the kinds that learn from labelled images: each kind names those that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.jobs.kinds import StepPlan, TypicalSize

#: Typical seconds with the shipped heads64 on two processor cores, rounded: of one refinement step of one image, of
#: reading labels and of training a labeler. They are in proportion to one another: a job that runs scales them by its
#: own pace.
_IMAGE_STEP, _VALIDATE, _TRAIN = 0.014, 2.0, 90.0
#: Refinement steps where the request names none.
_STEPS = 300


def _inversion_seconds(spec: Mapping[str, Any], size: TypicalSize) -> float | None:
    if size.images is None:
        return None
    asked = spec.get("inversion") or {}
    if spec.get("samples"):
        return _IMAGE_STEP * size.images
    steps = _STEPS if asked.get("steps") is None else asked["steps"]
    return float(_IMAGE_STEP * size.images * max(1, steps) * (2 if asked.get("mirror", True) else 1))


def _assessment_seconds(spec: Mapping[str, Any], _size: TypicalSize) -> float | None:
    return float(_TRAIN * spec["folds"]) if "folds" in spec else None


def _training_seconds(spec: Mapping[str, Any], _size: TypicalSize) -> float | None:
    asked = spec.get("labeler") or {}
    twice = asked.get("held_out", 0.1) > 0 and asked.get("train_on_all", True)
    return _TRAIN * (2 if twice else 1)


VALIDATE = StepPlan(
    "validate", "cpu", title="reading labels", makes="label_set", typical=lambda _spec, _size: _VALIDATE
)
INVERT = StepPlan("invert", "train", title="inverting images", makes="inversion", typical=_inversion_seconds)
TRAIN_LABELER = StepPlan("train_labeler", "train", title="training labeler", makes="labeler", typical=_training_seconds)
ASSESS_LABELER = StepPlan("assess_labeler", "train", title="judging labeler", typical=_assessment_seconds)
