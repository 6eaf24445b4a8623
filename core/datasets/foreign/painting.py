"""Paint the shapes of an image as its mask.

What a tool's user drew becomes its class. What was marked and cannot be filled (a box where outlines are wanted, a
line, a shape without a class) is no background: its pixels get the ignore index, under the drawn shapes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.datasets.foreign.translation import IGNORE_INDEX, Translation

Area = NDArray[np.bool_]


@dataclass(frozen=True)
class Shape:
    """A shape of one image. ``class_id``: None where its pixels are unknown and are ignored.

    ``area`` returns bool [H, W]; it is called when the shape is painted, so that no more than one area is in memory.
    ``pixels``: how many it covers.
    """

    class_id: int | None
    area: Callable[[], Area]
    pixels: int

    @classmethod
    def of(cls, class_id: int | None, area: Callable[[], Area]) -> "Shape":
        """Return the shape with its pixels counted; raises what ``area`` raises."""
        return cls(class_id, area, int(area().sum()))


def everywhere(size: tuple[int, int]) -> Shape:
    """Return a shape that has every pixel of an image (height, width) ignored."""
    return Shape(None, lambda: np.ones(size, bool), size[0] * size[1])


def painted(shapes: Sequence[Shape], size: tuple[int, int], background: int) -> tuple[NDArray[np.uint8], bool]:
    """Return the mask, uint8 [H, W], later shapes over earlier ones, and whether background is drawn in it.

    Where shapes of the class ``background`` cover at least as many pixels as no shape does, the image is labelled
    throughout: the rest is ignored then, and is background elsewhere.
    """
    mask = np.full(size, background, np.uint8)
    covered = np.zeros(size, bool)
    for shape in shapes:
        if shape.class_id is None:
            mask[shape.area()] = IGNORE_INDEX
    rest = mask == background
    for shape in shapes:
        if shape.class_id is not None:
            area = shape.area()
            mask[area] = shape.class_id
            covered |= area
    rest &= ~covered
    drawn = int((covered & (mask == background)).sum())
    throughout = drawn > 0 and drawn >= int(rest.sum())
    if throughout:
        mask[rest] = IGNORE_INDEX
    return mask, throughout


def paint(out: Translation, entry: str, shapes: Sequence[Shape], size: tuple[int, int], background: int) -> None:
    """Take the picture ``entry`` as an image, and the shapes as its mask."""
    key = out.image(entry)
    if key is None:
        return
    mask, throughout = painted(shapes, size, background)
    if throughout and (mask == IGNORE_INDEX).any():
        out.note_each("background is drawn: pixels without any shape are ignored", entry)
    out.mask(key, mask, entry)
