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


def fitted(pixels: NDArray[np.uint8], height: int, width: int, fit: Fit) -> NDArray[np.uint8]:
    """Return a photograph uint8 [h, w, 3] at [height, width, 3], as :func:`resize_to` brings the images of a set."""
    if pixels.shape[:2] == (height, width):
        return pixels
    found: NDArray[np.uint8] = _Placement(pixels.shape[:2], height, width, fit).image(pixels)
    return found


class _Placement:
    """The window of an image that is kept, and where it lies in the picture of the wanted size."""

    def __init__(self, size: tuple[int, ...], height: int, width: int, fit: Fit) -> None:
        rows, columns = size
        self.wanted = (width, height)
        self.window: _Box = (0.0, 0.0, float(columns), float(rows))
        self.inner = (width, height)
        if fit == "crop":
            scale = min(columns / width, rows / height)
            left, top = (columns - scale * width) / 2, (rows - scale * height) / 2
            self.window = (left, top, left + scale * width, top + scale * height)
        elif fit == "pad":
            scale = min(width / columns, height / rows)
            self.inner = (max(1, round(scale * columns)), max(1, round(scale * rows)))
        self.corner = ((width - self.inner[0]) // 2, (height - self.inner[1]) // 2)

    def image(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the photograph, shrunk by area average or grown bicubically."""
        window = self.window
        shrinks = self.inner[0] <= window[2] - window[0] and self.inner[1] <= window[3] - window[1]
        return self.brought(pixels, Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC, BORDER)

    def brought(self, pixels: NDArray[Any], resampling: Image.Resampling, border: Any) -> NDArray[Any]:
        """Return the window of ``pixels`` at its place, with ``border`` around it."""
        picture = Image.fromarray(pixels).resize(self.inner, resampling, box=self.window)
        framed = Image.new(picture.mode, self.wanted, border)
        framed.paste(picture, self.corner)
        return np.array(framed)


def _resized(item: LabelItem, height: int, width: int, fit: Fit, ignore_index: int) -> LabelItem:
    place = _Placement(item.image.shape[:2], height, width, fit)
    nearest = Image.Resampling.NEAREST
    return LabelItem(
        item.name,
        place.image(item.image),
        place.brought(item.mask, nearest, ignore_index),
        None if item.keypoints is None else _moved(item.keypoints, place.window, place.inner, place.corner),
        None if item.depth is None else place.brought(item.depth, nearest, 0.0),
        image_class=item.image_class,
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
