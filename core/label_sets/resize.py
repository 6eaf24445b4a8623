"""Bringing labelled images to a generator's size, image and mask by exactly the same window."""

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import LabelSetError, Problem
from core.label_sets.label_set import LabelItem, LabelSet, Note

Fit = Literal["crop", "pad", "stretch"]
"""``crop``: the largest centred window of the wanted shape. ``pad``: all of it, with borders that count for nothing.
``stretch``: all of it, its shape not kept."""

BORDER = (128, 128, 128)
"""What is drawn where there is no image."""
_Box = tuple[float, float, float, float]


def resize_to(label_set: LabelSet, height: int, width: int, fit: Fit = "crop") -> LabelSet:
    """The label set with every image uint8 [height, width, 3] and every mask uint8 [height, width].

    Images shrink by area average and grow bicubically; masks and depth take the nearest value. With ``pad`` the border
    is mid-grey in the image, the ignore index in the mask, 0 in the depth. Keypoints move with the window; those it
    leaves out become unlabelled. Items that already fit are passed on as they are. A note says what was done, and
    another names classes that no mask shows any more.

    Raises :class:`core.errors.LabelSetError` for a size below 1 or an unknown ``fit``.
    """
    check_target(height, width, fit)
    ignore_index = label_set.classes.ignore_index
    items = tuple(
        item if item.size == (height, width) else _resized(item, height, width, fit, ignore_index)
        for item in label_set.items
    )
    changed = sum(item.size != (height, width) for item in label_set.items)
    if not changed:
        return label_set
    note = Note(f"{changed} of {len(items)} images brought to {width} x {height} ({fit})")
    return with_lost_classes(label_set, replace(label_set, items=items, notes=(*label_set.notes, note)))


def check_target(height: int, width: int, fit: str) -> None:
    """Raise :class:`core.errors.LabelSetError` for a size below 1 or an unknown ``fit``."""
    problems = [
        Problem(f"{value} pixels", field) for field, value in (("height", height), ("width", width)) if value < 1
    ]
    if fit not in get_args(Fit):
        problems.append(Problem(f"{fit!r} is none of {', '.join(get_args(Fit))}", "fit"))
    if problems:
        raise LabelSetError("label sets cannot be brought to this size", problems)


def with_lost_classes(before: LabelSet, after: LabelSet) -> LabelSet:
    """``after`` with a note that names the classes that masks of ``before`` show and its own do not."""
    lost = [one for one, share in after.shares.items() if not share.images and before.shares[one].images]
    if not lost:
        return after
    names = ", ".join(before.classes.name(one) for one in lost)
    return replace(after, notes=(*after.notes, Note(f"at this size no mask shows any more: {names}")))


def _resized(item: LabelItem, height: int, width: int, fit: Fit, ignore_index: int) -> LabelItem:
    image = Image.fromarray(item.image)
    window: _Box = (0.0, 0.0, float(image.width), float(image.height))
    inner = (width, height)
    if fit == "crop":
        scale = min(image.width / width, image.height / height)
        left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
        window = (left, top, left + scale * width, top + scale * height)
    elif fit == "pad":
        scale = min(width / image.width, height / image.height)
        inner = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
    shrinks = inner[0] <= window[2] - window[0] and inner[1] <= window[3] - window[1]

    def brought(pixels: NDArray[Any], resampling: Image.Resampling, border: Any) -> NDArray[Any]:
        picture = Image.fromarray(pixels).resize(inner, resampling, box=window)
        framed = Image.new(picture.mode, (width, height), border)
        framed.paste(picture, corner)
        return np.array(framed)

    return LabelItem(
        item.name,
        brought(item.image, Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC, BORDER),
        brought(item.mask, Image.Resampling.NEAREST, ignore_index),
        None if item.keypoints is None else _moved(item.keypoints, window, inner, corner),
        None if item.depth is None else brought(item.depth, Image.Resampling.NEAREST, 0.0),
    )


def _moved(
    points: NDArray[np.float32], window: _Box, inner: tuple[int, int], corner: tuple[int, int]
) -> NDArray[np.float32]:
    """Keypoints [K, 3] of the image in that of the window brought to ``inner`` pixels at ``corner``."""
    low, extent = np.array(window[:2]), np.array(window[2:]) - np.array(window[:2])
    share = (points[:, :2] - low) / extent
    labelled = (points[:, 2] > 0) & ((share >= 0) & (share <= 1)).all(1)
    moved = np.concatenate([share * inner + corner, points[:, 2:]], axis=1)
    return np.where(labelled[:, None], moved, 0).astype(np.float32)
