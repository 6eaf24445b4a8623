"""Labelled images left for right: as many labels more as there are, for nothing but their inversion.

Parts that a mirror exchanges are told by their names: what was the left eye is the right one then.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.label_sets.label_set import LabelItem, LabelSet
from core.tasks.keypoints import UNLABELLED

_SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}


def mirrored(labels: LabelSet) -> LabelSet:
    """The label set as a mirror shows it, every item under its own name; boxes and warps, which are spent once an item
    is in its frame, are left out.
    """
    classes = mirrored_pairs(labels.classes.names)
    points = labels.keypoints.names if labels.keypoints else ()
    ids = _exchanged(256, classes).astype(np.uint8)
    order = _exchanged(len(points), mirrored_pairs(dict(enumerate(points))))
    return replace(labels, items=tuple(_mirrored(item, ids, order) for item in labels.items))


def mirrored_pairs(parts: Mapping[int, str]) -> tuple[tuple[int, int], ...]:
    """Parts that change places in a mirror, by their names: left_eye and right_eye, mouth-left and mouth-right, l_brow
    and r_brow.

    >>> mirrored_pairs({0: "nose", 1: "left_eye", 2: "Right eye"})
    ((1, 2),)
    """

    def words(name: str) -> tuple[str, ...]:
        return tuple(re.findall(r"[^\W_]+", name.lower()))

    known = {words(name): one for one, name in parts.items()}
    pairs = [(one, known.get(tuple(_SIDES.get(word, word) for word in words(name)))) for one, name in parts.items()]
    return tuple((one, other) for one, other in pairs if other is not None and one < other)


def _exchanged(count: int, pairs: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    """``0 … count - 1`` with the numbers of each pair in each other's place."""
    numbers = np.arange(count)
    for one, other in pairs:
        numbers[[one, other]] = other, one
    return numbers


def _mirrored(item: LabelItem, ids: NDArray[np.uint8], order: NDArray[np.int64]) -> LabelItem:
    points = None
    if item.keypoints is not None:
        points = item.keypoints[order]
        points[:, 0] = np.where(points[:, 2] > UNLABELLED, item.size[1] - points[:, 0], points[:, 0])
    return LabelItem(
        name=item.name,
        image=np.ascontiguousarray(item.image[:, ::-1]),
        mask=ids[item.mask[:, ::-1]],
        keypoints=points,
        depth=None if item.depth is None else np.ascontiguousarray(item.depth[:, ::-1]),
        image_class=item.image_class,
    )
