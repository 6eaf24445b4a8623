"""Bringing labelled images to a generator's size, image and mask by exactly the same window."""

from typing import Literal, get_args

import numpy as np
from PIL import Image

from core.datasets.label_set import LabelItem, LabelSet, Note
from core.errors import LabelSetError, Problem

Fit = Literal["crop", "pad", "stretch"]
"""``crop``: the largest centred window of the wanted shape. ``pad``: all of it, with borders that count for nothing.
``stretch``: all of it, its shape not kept."""

_BORDER = (128, 128, 128)
_Box = tuple[float, float, float, float]


def resize_to(label_set: LabelSet, height: int, width: int, fit: Fit = "crop") -> LabelSet:
    """The label set with every image uint8 [height, width, 3] and every mask uint8 [height, width].

    Images shrink by area average and grow bicubically; masks take the nearest id. With ``pad`` the border is mid-grey
    in the image and the ignore index in the mask. Items that already fit are passed on as they are. A note says what
    was done, and another names classes that no mask shows any more.

    Raises :class:`core.errors.LabelSetError` for a size below 1 or an unknown ``fit``.
    """
    problems = [
        Problem(f"{value} pixels", field) for field, value in (("height", height), ("width", width)) if value < 1
    ]
    if fit not in get_args(Fit):
        problems.append(Problem(f"{fit!r} is none of {', '.join(get_args(Fit))}", "fit"))
    if problems:
        raise LabelSetError("label sets cannot be brought to this size", problems)
    ignore_index = label_set.classes.ignore_index
    items = tuple(
        item if item.size == (height, width) else _resized(item, height, width, fit, ignore_index)
        for item in label_set.items
    )
    changed = sum(item.size != (height, width) for item in label_set.items)
    if not changed:
        return label_set
    notes = [*label_set.notes, Note(f"{changed} of {len(items)} images brought to {width} x {height} ({fit})")]
    result = LabelSet(items, label_set.classes, label_set.detected_format, tuple(notes))
    lost = [one for one, share in result.shares.items() if not share.images and label_set.shares[one].images]
    if not lost:
        return result
    names = ", ".join(label_set.classes.name(one) for one in lost)
    notes.append(Note(f"at this size no mask shows any more: {names}"))
    return LabelSet(items, label_set.classes, label_set.detected_format, tuple(notes))


def _resized(item: LabelItem, height: int, width: int, fit: Fit, ignore_index: int) -> LabelItem:
    image, mask = Image.fromarray(item.image), Image.fromarray(item.mask)
    window: _Box = (0.0, 0.0, float(image.width), float(image.height))
    inner = (width, height)
    if fit == "crop":
        scale = min(image.width / width, image.height / height)
        left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
        window = (left, top, left + scale * width, top + scale * height)
    elif fit == "pad":
        scale = min(width / image.width, height / image.height)
        inner = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    shrinks = inner[0] <= window[2] - window[0] and inner[1] <= window[3] - window[1]
    image = image.resize(inner, Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC, box=window)
    mask = mask.resize(inner, Image.Resampling.NEAREST, box=window)
    if inner != (width, height):
        corner = ((width - inner[0]) // 2, (height - inner[1]) // 2)
        framed, framed_mask = Image.new("RGB", (width, height), _BORDER), Image.new("L", (width, height), ignore_index)
        framed.paste(image, corner)
        framed_mask.paste(mask, corner)
        image, mask = framed, framed_mask
    return LabelItem(item.name, np.array(image), np.array(mask))
