"""Steps that prepare a generator for labelled images: each kind that makes or names a generator can append them.

The request is a `PreparationSpec`. The generator is `result.generator` of the job where an earlier step stored it, else
`generator` of the request. A step that the request refuses ends at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.jobs.kinds import StepPlan, TypicalSize

#: Typical seconds of a training step with images of 64 pixels on two processor cores, and steps where none are named.
_PERCEPTUAL_STEP, _PERCEPTUAL_STEPS = 0.1, 1500
_ENCODER_STEP, _ENCODER_STEPS = 0.35, 3000


def _perceptual_seconds(spec: Mapping[str, Any], _size: TypicalSize) -> float:
    asked = spec.get("preparation") or {}
    return _seconds(asked, "perceptual", _PERCEPTUAL_STEP, _PERCEPTUAL_STEPS)


def _encoder_seconds(spec: Mapping[str, Any], _size: TypicalSize) -> float:
    asked = spec.get("preparation") or {}
    return _seconds(asked, "encoder", _ENCODER_STEP, _ENCODER_STEPS)


def _seconds(asked: Mapping[str, Any], name: str, seconds: float, steps: int) -> float:
    return seconds * int(asked.get(f"{name}_steps") or steps) if asked.get(name, True) else 0.0


PREPARE_PERCEPTUAL = StepPlan(
    "prepare_perceptual", "train", title="training perceptual network", typical=_perceptual_seconds
)
PREPARE_ENCODER = StepPlan("prepare_encoder", "train", title="training encoder", typical=_encoder_seconds)
#: In this order: the encoder is trained with the perceptual network.
PREPARATION: tuple[StepPlan, ...] = (PREPARE_PERCEPTUAL, PREPARE_ENCODER)
