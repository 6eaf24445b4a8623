"""Write docs/images/streets.png: what the world looks like, with its masks and depth, and how often each class shows.

python -m testbed.streets
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from testbed.streets import CLASS_NAMES, draw_latents, render, street_parameters
from testbed.streets.casting import RANGE

PICTURE = Path("docs/images/streets.png")
SEED = 5
ROWS, COLUMNS = 6, 3
COUNTED = 2000
PALETTE = np.array(
    [
        (128, 64, 128), (110, 70, 60), (70, 130, 180), (60, 140, 40), (244, 35, 232), (0, 0, 190), (250, 240, 120),
        (225, 20, 40), (255, 255, 255),
    ],
    np.uint8,
)  # fmt: skip
"""Colours of the ids, near to those of Cityscapes."""


def shown_depth(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Depth as grey [..., 3], bright is near, by its logarithm; black where nothing is."""
    near = 1 - np.log(np.maximum(depth, 1)) / np.log(1.2 * RANGE)
    grey = np.where(depth > 0, 30 + 225 * near, 0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def main() -> None:
    """Draw the sheet, three pictures a street, and print the table."""
    seen = render(street_parameters(draw_latents(SEED, 0, ROWS * COLUMNS)))
    triples = np.concatenate([seen.images, PALETTE[seen.masks], shown_depth(seen.depth)], axis=2)
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in np.split(triples, ROWS)])
    picture = Image.fromarray(sheet).resize((2 * sheet.shape[1], 2 * sheet.shape[0]), Image.Resampling.NEAREST)
    picture.save(PICTURE, optimize=True)
    masks = render(street_parameters(draw_latents(SEED, 0, COUNTED))).masks
    for i, name in enumerate(CLASS_NAMES):
        pixels, shown = (masks == i).mean(), ((masks == i).sum((1, 2)) >= 8).mean()
        print(f"| {name} | {pixels:.1%} | {shown:.0%} |")


if __name__ == "__main__":
    main()
