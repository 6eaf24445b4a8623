"""A label set: a few labelled images of one task with one class map.

:func:`core.datasets.reading.read_label_set` makes one from an untrusted archive,
:mod:`core.datasets.label_set_files` keeps it, :mod:`core.datasets.resizing` brings it to a generator's size.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.datasets.classes import ClassMap


@dataclass(frozen=True)
class Note:
    """Something a person should know and that is no error: ``text``, and the file it is about (may be empty)."""

    text: str
    pointer: str = ""


@dataclass(frozen=True, eq=False)
class LabelItem:
    """One labelled image. The arrays may be memory-mapped, copy on write.

    ``name``: the file's name without folder and suffix, unique in its set.
    ``image``: uint8 [H, W, 3] RGB. ``mask``: uint8 [H, W] class ids, or the ignore index.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.mask.shape[0], self.mask.shape[1]


@dataclass(frozen=True)
class ClassShare:
    """How much of a label set one class has: its share of all labelled pixels, and the images that show it."""

    pixels: float
    images: int


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Validated labelled images in the order of their names.

    ``detected_format``: what the archive was, in words. ``notes``: what was converted or left aside.
    """

    items: tuple[LabelItem, ...]
    classes: ClassMap
    detected_format: str = ""
    notes: tuple[Note, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over classes, names, sizes and pixels, whatever archive or file format they came in."""
        return content_digest(self.items, self.classes)

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many images have each (height, width)."""
        return Counter(item.size for item in self.items)

    @cached_property
    def pixel_counts(self) -> NDArray[np.int64]:
        """int64 [256]: pixels of each id over all masks, the ignore index included."""
        return sum((np.bincount(item.mask.ravel(), minlength=256) for item in self.items), np.zeros(256, np.int64))

    @cached_property
    def shares(self) -> dict[int, ClassShare]:
        """Each class's share of the pixels that are not ignored, and how many images show it, by ascending id."""
        counts = self.pixel_counts
        labelled = max(1, sum(int(counts[class_id]) for class_id in self.classes.ids))
        shown: Counter[int] = Counter(int(one) for item in self.items for one in np.unique(item.mask))
        return {
            class_id: ClassShare(int(counts[class_id]) / labelled, shown[class_id]) for class_id in self.classes.ids
        }


def content_digest(items: Iterable[LabelItem], classes: ClassMap) -> str:
    """SHA-256 (hex) of the canonical content: class map, then each item's name, shape, image and mask bytes."""
    digest = hashlib.sha256(b"label set 1\n")
    digest.update(json.dumps(classes.to_json(), sort_keys=True, ensure_ascii=True).encode() + b"\n")
    for item in items:
        digest.update(json.dumps([item.name, *item.size], ensure_ascii=True).encode() + b"\n")
        digest.update(np.ascontiguousarray(item.image).data)
        digest.update(np.ascontiguousarray(item.mask).data)
    return digest.hexdigest()
