"""Copies of an image that were encoded or resized again, among images of one size.

Copies are compared by a perceptual hash that is kept in numbers instead of bits: mean luminance in cells of 4 x 4
pixels. JPEG and resizing change fine detail and colour, which the means hardly show; another image differs in them.
The distance of two images is the root mean square difference of their cells, as a share of the first image's contrast.

Measured on street scenes of one video (1 second apart), chest radiographs, people and CIFAR-10, 30 to 800 images each:

===========================  =======  ============  ================
image's shorter side         32       64            128 and 256
===========================  =======  ============  ================
JPEG of quality 75           0.03     0.02          0.01 to 0.02
JPEG of quality 50           0.07     0.03          0.02 to 0.03
three quarters and back      0.04     0.02 to 0.03  0.01 to 0.02
half and back                0.09     0.04 to 0.07  0.01 to 0.05
nearest other image          0.31     0.034         0.067
===========================  =======  ============  ================

Rows of copies give the largest distance, the last row the smallest: that of video frames but at 32 pixels. So copies of
large images are found down to a quality of 50 or half the size, and those of small images down to a quality of about 75
or three quarters of the size.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.label_sets.resize import fitted

SMALL_LIMIT, LARGE_LIMIT = 0.04, 0.055
"""Distance up to which two images count as copies: of fewer than ``LARGE`` pixels on the shorter side, and of more."""
LARGE = 128
_CELL = 4
#: Cells on the shorter side, at least, as far as there are pixels.
_FEWEST = 8
#: Contrast in grey levels that a pale image is taken to have: encoding changes it by about one level like any other.
LEAST_CONTRAST = 25.0
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)

COARSE_SIDE = 64

Images = Sequence[NDArray[np.uint8]]


def near_copies(images: Images, originals: Images) -> dict[int, int]:
    """Return index of each image that is a copy of an original → index of the closest original.

    images, originals: uint8 [H, W, 3] RGB, all of one size.
    """
    if not len(images) or not len(originals):
        return {}
    known = np.stack([luminance_cells(one) for one in originals])
    contrast = np.maximum(known.std(1), LEAST_CONTRAST)
    limit = LARGE_LIMIT if min(originals[0].shape[:2]) >= LARGE else SMALL_LIMIT
    found = {}
    for index, image in enumerate(images):
        distances = np.sqrt(np.square(known - luminance_cells(image)).mean(1)) / contrast
        nearest = int(distances.argmin())
        if distances[nearest] <= limit:
            found[index] = nearest
    return found


def luminance_cells(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean luminance of each cell, float32 [cells] in grey levels; pixels beyond the last whole cell are left out."""
    height, width = image.shape[:2]
    cell = min(_CELL, max(1, min(height, width) // _FEWEST))
    rows, columns = height // cell, width // cell
    grey = image[: rows * cell, : columns * cell].astype(np.float32) @ _LUMINANCE
    means: NDArray[np.float32] = grey.reshape(rows, cell, columns, cell).mean((1, 3)).reshape(-1)
    return means


def coarse_cells(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return :func:`luminance_cells` of uint8 [H, W, 3] brought to 64 pixels on its shorter side, where it has more.

    Distances of these have the limit ``SMALL_LIMIT`` at every size. A square image has at most 256 cells.
    """
    height, width = image.shape[:2]
    factor = min(height, width) / COARSE_SIDE
    if factor > 1:
        image = fitted(image, max(1, round(height / factor)), max(1, round(width / factor)), "stretch")
    return luminance_cells(image)
