"""Labelled images into the generator's frame, as the request says: by boxes, by keypoints, or fitted as they are."""

from __future__ import annotations

from collections.abc import Callable

from core.label_sets.align import Alignment, BoxAlignment, KeypointAlignment, align_to, find_warps
from core.label_sets.background import background_class, whitened
from core.label_sets.label_set import LabelSet
from core.label_sets.resize import resize_to
from store.requests.inversion import AlignSpec, FramingSpec
from store.resources.generators import get_generator
from worker.runtime.step_context import StepContext


def framed(labels: LabelSet, size: tuple[int, int], asked: FramingSpec) -> LabelSet:
    """Return the label set at `size` (height, width), brought there as the request asks for.

    Raises LabelSetError naming every image that cannot be aligned, and for a background that is not known.
    """
    alignment = _alignment(asked.align)
    if asked.background == "white":
        labels = whitened(labels)
    if alignment is None:
        return resize_to(labels, *size, asked.fit)
    return align_to(labels, *size, alignment, asked.fit)


def check_frame(context: StepContext, generator: str, asked: FramingSpec, labels: Callable[[], LabelSet]) -> None:
    """Raise what :func:`framed` will, before anything costly is begun. `labels`: loads them, where they are needed."""
    alignment = _alignment(asked.align)
    if asked.background == "white":
        background_class(labels().classes)
    if alignment is not None:
        found = get_generator(context.db, generator, tenant=context.tenant)
        find_warps(labels(), found.height, found.width, alignment, asked.fit)


def _alignment(asked: AlignSpec) -> Alignment | None:
    if asked.by == "boxes":
        return BoxAlignment(asked.margin)
    return KeypointAlignment(asked.keypoints, asked.freedom) if asked.by == "keypoints" else None
