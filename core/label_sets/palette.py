"""Colours for class ids: in masks' palettes, overlays and legends."""

import numpy as np
from numpy.typing import NDArray

from core.label_sets.classes import ClassMap

# Chosen greedily on a grid, each as far as possible in CIELAB from those before it and from black, white and mid-grey.
PALETTE: NDArray[np.uint8] = np.array(
    [
        (225, 30, 75), (255, 225, 30), (0, 135, 195), (60, 180, 75), (240, 135, 45), (150, 30, 180), (75, 240, 240),
        (240, 45, 225), (0, 255, 0), (45, 75, 0), (0, 0, 255), (225, 165, 255), (105, 45, 90), (120, 45, 0),
        (45, 120, 255), (210, 240, 150), (150, 150, 0), (255, 150, 150), (0, 90, 90), (255, 45, 0), (210, 75, 150),
        (0, 255, 180), (0, 165, 135), (150, 210, 0), (15, 60, 150), (150, 210, 255), (225, 180, 120), (0, 60, 225),
        (165, 90, 90), (180, 0, 255), (135, 105, 180), (135, 105, 45),
    ],
    np.uint8,
)  # fmt: skip
"""uint8 [32, 3]: well separated RGB colours."""

BACKGROUND = (0, 0, 0)
IGNORED = (160, 160, 160)
_BACKGROUND_NAMES = frozenset({"background", "backdrop", "void", "unlabeled", "unlabelled", "other"})


def colours(classes: ClassMap) -> NDArray[np.uint8]:
    """uint8 [256, 3]: the colour of every id.

    Class ``i`` has colour ``i - 1`` of the palette, so that 0 may be background (black, if it is named so); the colours
    come again, darker, after 32 classes. The ignore index is grey.
    """
    ids = np.arange(256)
    darker = 0.7 ** ((ids - 1) // len(PALETTE)).clip(0)
    table = np.rint(PALETTE[(ids - 1) % len(PALETTE)] * darker[:, None]).astype(np.uint8)
    for class_id, name in classes.names.items():
        if name.strip().lower() in _BACKGROUND_NAMES:
            table[class_id] = BACKGROUND
    table[classes.ignore_index] = IGNORED
    return table


def voc_colours() -> NDArray[np.uint8]:
    """uint8 [256, 3]: the colour map of Pascal VOC. Bits 0, 3, 6 of an id are the highest of red, 1, 4, 7 of green."""
    ids = np.arange(256)
    table = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            if 3 * bit + channel < 8:
                table[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return table
