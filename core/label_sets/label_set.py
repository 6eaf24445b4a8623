"""A label set: a few images with labels of one task or several, masks, keypoints and depth.

:func:`core.label_sets.reading.reader.read_label_set` makes one from an untrusted archive,
:mod:`core.label_sets.storage` keeps it, :mod:`core.label_sets.resize` brings it to a generator's size.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.label_sets.boxes import Box
from core.label_sets.classes import ClassMap
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.image_classes import ImageClass
from core.label_sets.keypoints import KeypointMap
from core.label_sets.warp import Warp
from core.tasks.task import Task

#: Images that a label set may have.
MAX_IMAGES = 1000


@dataclass(frozen=True)
class Note:
    """Something a person should know and that is no error: ``text``, and the file it is about (may be empty)."""

    text: str
    pointer: str = ""


@dataclass(frozen=True, eq=False)
class LabelItem:
    """One labelled image. The arrays may be memory-mapped, copy on write.

    ``name``: unique in its set: the file's name without suffix, with the end of its folders where names are equal.
    ``image``: uint8 [H, W, 3] RGB. ``mask``: uint8 [H, W] class ids, or the ignore index (everywhere, in a set without
    masks). ``keypoints``: float32 [K, 3] of x, y, visibility, see :mod:`core.tasks.keypoints`. ``depth``: float32
    [H, W] in the set's unit, 0 where nothing was measured. Both are None where the set has none.
    ``box``: where the subject is, None where unknown. ``image_class``: class of the whole image, an index or a name of
    a generator's classes, None where unknown. ``warp``: how the item came into its frame, where
    :mod:`core.label_sets.align` brought it there; its box is then spent.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    keypoints: NDArray[np.float32] | None = None
    depth: NDArray[np.float32] | None = None
    box: Box | None = None
    warp: Warp | None = None
    image_class: ImageClass | None = None

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

    ``classes``: without names where there are no masks. ``keypoints``, ``depth``: None where no item has any.
    ``detected_format``: what the archive was, in words. ``notes``: what was converted or left aside.
    """

    items: tuple[LabelItem, ...]
    classes: ClassMap
    detected_format: str = ""
    notes: tuple[Note, ...] = ()
    keypoints: KeypointMap | None = None
    depth: DepthUnit | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What can be learnt from it."""
        there: dict[Task, bool] = {
            "segmentation": bool(self.classes.names),
            "keypoints": self.keypoints is not None,
            "depth": self.depth is not None,
        }
        return tuple(task for task, is_there in there.items() if is_there)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over classes, names, sizes, pixels, points and depths, whatever file formats they came in."""
        return content_digest(self)

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


def content_digest(label_set: LabelSet) -> str:
    """SHA-256 (hex) of the canonical content: class map, then each item's name, shape, box, image, labels."""
    digest = hashlib.sha256(b"label set 1\n")
    digest.update(json.dumps(label_set.classes.to_json(), sort_keys=True, ensure_ascii=True).encode() + b"\n")
    for more in (label_set.keypoints, label_set.depth):
        if more is not None:
            digest.update(json.dumps(more.to_json(), sort_keys=True, ensure_ascii=True).encode() + b"\n")
    for item in label_set.items:
        known = [] if item.image_class is None else [{"class": item.image_class}]
        facts = [item.name, *item.size, *(item.box or ()), *known]
        digest.update(json.dumps(facts, ensure_ascii=True).encode() + b"\n")
        for array in (item.image, item.mask, item.keypoints, item.depth):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
