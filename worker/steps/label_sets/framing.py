"""Labelled images into the generator's frame, as the request says: by boxes, by keypoints, or fitted as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.label_sets.align import Alignment, BoxAlignment, KeypointAlignment, align_to, find_warps
from core.label_sets.label_set import LabelSet
from core.label_sets.resize import resize_to
from store.requests.inversion import AlignSpec
from store.resources.generators import get_generator
from worker.runtime.step_context import StepContext


def framed(labels: LabelSet, size: tuple[int, int], spec: Mapping[str, Any]) -> LabelSet:
    """The label set at `size` (height, width). `spec`: a job's request, for its `fit` and `align`.

    Raises LabelSetError naming every image that cannot be aligned.
    """
    alignment = _alignment(spec)
    if alignment is None:
        return resize_to(labels, *size, spec["fit"])
    return align_to(labels, *size, alignment, spec["fit"])


def check_frame(context: StepContext, labels: Callable[[], LabelSet]) -> None:
    """Raise what :func:`framed` will, before anything costly is begun. `labels`: loads them, where they are needed."""
    alignment = _alignment(context.spec)
    if alignment is not None:
        generator = get_generator(context.db, context.spec["generator"], tenant=context.tenant)
        find_warps(labels(), generator.height, generator.width, alignment, context.spec["fit"])


def _alignment(spec: Mapping[str, Any]) -> Alignment | None:
    asked = AlignSpec.model_validate(spec.get("align", {}))  # jobs from before there was alignment have none
    if asked.by == "boxes":
        return BoxAlignment(asked.margin)
    return KeypointAlignment(asked.keypoints, asked.freedom) if asked.by == "keypoints" else None
