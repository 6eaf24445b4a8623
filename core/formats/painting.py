"""Paint the shapes of an image as its mask.

What a tool's user drew becomes its class. What was marked and cannot be filled (a box where outlines are wanted, a
line, a shape without a class) is no background: its pixels get the ignore index, under the drawn shapes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.formats.class_guide import Uncovered
from core.formats.shapes import Patch
from core.formats.translation import IGNORE_INDEX, Translation

Area = NDArray[np.bool_]


#: Pixels of a window whose area is kept in memory, eight of them in a byte; a larger one is drawn again.
_MOST_KEPT = 1 << 19


@dataclass(frozen=True)
class Shape:
    """A shape of one image. ``class_id``: None where its pixels are unknown and are ignored.

    ``window``: the rows and columns that it reaches. ``area`` returns bool [rows, columns] of the window; it is called
    when the shape is painted, so that no more than one large area is in memory. ``pixels``: how many it covers.
    """

    class_id: int | None
    window: tuple[slice, slice]
    area: Callable[[], Area]
    pixels: int

    @classmethod
    def of(cls, out: Translation, entry: str, class_id: int | None, draw: Callable[[], Patch]) -> "Shape":
        """Return the shape of the picture ``entry`` that ``draw`` returns; raises what that raises, and
        :class:`core.errors.LabelSetError` where drawing the shapes of the archive is too much work.
        """
        patch = draw()
        out.charge(entry, patch.work, patch.size)
        rows, columns = (np.flatnonzero(patch.area.any(axis)) for axis in (1, 0))
        tight = (slice(0, 0), slice(0, 0))
        if rows.size:
            tight = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        where = patch.area[tight]
        area = (lambda: draw().area[tight]) if where.size > _MOST_KEPT else _kept(where)
        window = (_moved(tight[0], patch.top), _moved(tight[1], patch.left))
        return cls(class_id, window, area, int(where.sum()))


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _kept(where: Area) -> Callable[[], Area]:
    packed, shape = np.packbits(where), where.shape
    return lambda: np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape).astype(bool)


def everywhere(size: tuple[int, int]) -> Shape:
    """Return a shape that has every pixel of an image (height, width) ignored."""
    return Shape(None, (slice(size[0]), slice(size[1])), lambda: np.ones(size, bool), size[0] * size[1])


def painted(
    shapes: Sequence[Shape], size: tuple[int, int], background: int, uncovered: Uncovered | None = None
) -> tuple[NDArray[np.uint8], bool]:
    """Return the mask, uint8 [H, W], later shapes over earlier ones, and whether pixels without a shape are ignored.

    ``uncovered`` decides that. Without it the image is labelled throughout, and the rest is ignored, where shapes of
    the class ``background`` cover at least as many pixels as no shape does; elsewhere the rest is background.
    """
    mask = np.full(size, background, np.uint8)
    covered = np.zeros(size, bool)
    for shape in sorted(shapes, key=lambda one: one.class_id is not None):  # what is ignored lies below
        area = shape.area()
        mask[shape.window][area] = IGNORE_INDEX if shape.class_id is None else shape.class_id
        covered[shape.window] |= area
    rest = ~covered
    drawn = int((covered & (mask == background)).sum())
    throughout = drawn > 0 and drawn >= int(rest.sum()) if uncovered is None else uncovered == "ignored"
    if throughout:
        mask[rest] = IGNORE_INDEX
    return mask, throughout


def paint(out: Translation, entry: str, shapes: Sequence[Shape], size: tuple[int, int], background: int) -> None:
    """Take the picture ``entry`` as an image, and the shapes as its mask."""
    key = out.image(entry)
    if key is None:
        return
    mask, throughout = painted(shapes, size, background, out.uncovered)
    if throughout and out.uncovered is None and (mask == IGNORE_INDEX).any():
        out.note_each("background is drawn: pixels without any shape are ignored", entry)
    out.mask(key, mask, entry)
