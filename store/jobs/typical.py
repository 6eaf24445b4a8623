"""Typical times of steps that nothing was measured of: the shipped heads64 on two processor cores, rounded.

They are in proportion to one another rather than right: a job that runs scales them by its own pace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Of one refinement step of one image.
_IMAGE_STEP = 0.014
#: Of one image drawn, labelled and encoded.
_SAMPLE = 0.06
#: Refinement steps where the request names none.
_STEPS = 300
_VALIDATE, _TRAIN_LABELER, _FINALIZE = 2.0, 90.0, 5.0


def typical_seconds(step: str, spec: Mapping[str, Any], images: int | None, total: int) -> float | None:
    """Seconds that a step takes in a job with this request; None where nothing typical is known.

    `images`: labelled images, None while they are not known. `total`: images to be drawn.
    """
    if step == "invert" and images is not None:
        asked = spec.get("inversion") or {}
        if spec.get("samples"):
            return _IMAGE_STEP * images
        steps = _STEPS if asked.get("steps") is None else asked["steps"]
        return float(_IMAGE_STEP * images * max(1, steps) * (2 if asked.get("mirror", True) else 1))
    known = {"validate": _VALIDATE, "train_labeler": _TRAIN_LABELER, "sample": _SAMPLE * total, "finalize": _FINALIZE}
    if step == "assess_labeler" and "folds" in spec:
        return float(_TRAIN_LABELER * spec["folds"])
    return known.get(step)
