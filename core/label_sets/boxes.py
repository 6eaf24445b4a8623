"""Where each image's subject is: ``boxes.json`` in an untrusted archive.

::

    {"boxes": {"NAME": [x, y, width, height], …}}

Pixels of the upright image from its top left corner, as COCO counts them. A box may reach beyond its image. Boxes are
no labels: they say what :mod:`core.label_sets.align` cuts out.
"""

from collections.abc import Mapping
from typing import Any

from core.errors import LabelSetError, Problem
from core.label_sets.reading.json_files import is_number, parse_json, shortened

BOXES = "boxes.json"
MAX_FILE_BYTES = 4 << 20

Box = tuple[float, float, float, float]
"""x, y of the top left corner, width, height, in pixels."""


def parse_boxes(content: bytes, pointer: str = BOXES) -> Mapping[str, Any]:
    """By image name, what stands there, to be judged with its image. Raises :class:`LabelSetError`."""
    try:
        document = parse_json(content, MAX_FILE_BYTES)
        rows = document.get("boxes") if isinstance(document, dict) else None
        if not isinstance(rows, dict):
            raise ValueError('write {"boxes": {"NAME": [x, y, width, height]}}')
    except ValueError as error:
        raise LabelSetError("the boxes are not usable", [Problem(str(error), pointer)]) from error
    return rows


def image_box(row: object, size: tuple[int, int]) -> Box:
    """One image's box. ``row``: what the file says. ``size``: (height, width).

    Raises :class:`ValueError`, in words, unless it has an extent and shows some of the image.
    """
    if not isinstance(row, list) or len(row) != 4 or not all(is_number(value) for value in row):
        raise ValueError(f"{shortened(row)} is not four numbers [x, y, width, height]")
    x, y, width, height = map(float, row)
    if width <= 0 or height <= 0:
        raise ValueError(f"the box is {width:g} x {height:g} pixels: both must be above 0")
    if x >= size[1] or y >= size[0] or x + width <= 0 or y + height <= 0:
        raise ValueError(f"the box {shortened(row)} lies outside of the {size[1]} x {size[0]} image")
    return x, y, width, height
