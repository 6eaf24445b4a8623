"""Affine maps from an image into a frame, and pictures, masks, depths and points drawn through them.

Coordinates are continuous pixels from the top left corner: the centre of the first pixel is (0.5, 0.5).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Points = NDArray[np.float64]
"""[N, 2] of x, y."""


@dataclass(frozen=True, eq=False)
class Warp:
    """``matrix``: float64 [2, 3], a point [x, y, 1] of the image → the frame. Sizes are (height, width).

    ``misfit``: how far the points that it was fitted to land from where they should, root mean square in pixels of the
    frame; None where it was not fitted.
    """

    matrix: NDArray[np.float64]
    image_size: tuple[int, int]
    size: tuple[int, int]
    misfit: float | None = None

    def points(self, points: Points) -> Points:
        """Points [N, 2] of the image, in the frame."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    @property
    def back(self) -> NDArray[np.float64]:
        """float64 [2, 3]: a point of the frame → the image. Rounded, so that the last bits of a solver, which differ
        from machine to machine, decide no pixel.
        """
        inverse = np.linalg.inv(self.matrix[:, :2])
        back: NDArray[np.float64] = np.concatenate([inverse, -inverse @ self.matrix[:, 2:]], axis=1).round(9)
        return back

    @property
    def scale(self) -> float:
        """Pixels of the frame for one of the image: the square root of the ratio of areas."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix[:, :2]))))

    @property
    def degrees(self) -> float:
        """How far the image's horizontal is turned, clockwise as seen."""
        return math.degrees(math.atan2(self.matrix[1, 0], self.matrix[0, 0]))

    @cached_property
    def covered(self) -> NDArray[np.bool_]:
        """bool [height, width]: the pixels of the frame whose centres lie on the image."""
        columns, rows = np.meshgrid(np.arange(self.size[1]) + 0.5, np.arange(self.size[0]) + 0.5)
        back = self.back
        x = back[0, 0] * columns + back[0, 1] * rows + back[0, 2]
        y = back[1, 0] * columns + back[1, 1] * rows + back[1, 2]
        inside: NDArray[np.bool_] = (x >= 0) & (x < self.image_size[1]) & (y >= 0) & (y < self.image_size[0])
        return inside

    def to_json(self) -> dict[str, float | None]:
        """What was done, for reports. ``outside``: share of the frame that lies beyond the image."""
        outside = 1 - float(self.covered.mean())
        return {"scale": self.scale, "degrees": self.degrees, "outside": outside, "misfit": self.misfit}

    def picture(self, pixels: NDArray[np.uint8], border: tuple[int, int, int]) -> NDArray[np.uint8]:
        """uint8 [h, w, 3] → the frame, bicubic; what shrinks is averaged first, so that nothing flickers."""
        picture = Image.fromarray(pixels)
        back = self.back
        shrinks = float(np.linalg.svd(back[:, :2], compute_uv=False)[-1])  # pixels of the image for one of the frame
        # Whole blocks are averaged in the image; what shrinking is left, less than twofold, by 2 x 2 in the frame.
        block = max(1, int(shrinks + 1e-9))
        if block > 1:
            picture, back = picture.reduce(block), back / block
        twice = 2 if shrinks > block * (1 + 1e-9) else 1
        height, width = self.size
        scaled = back * np.array([1 / twice, 1 / twice, 1])
        drawn = picture.transform(
            (width * twice, height * twice),
            Image.Transform.AFFINE,
            tuple(scaled.ravel()),
            Image.Resampling.BICUBIC,
            fillcolor=border,
        )
        return np.array(drawn.reduce(twice) if twice > 1 else drawn)

    def nearest(self, values: NDArray[Any], border: float) -> NDArray[Any]:
        """uint8 or float32 [h, w] → the frame, each pixel the value that lies under its centre."""
        height, width = self.size
        coefficients = tuple(self.back.ravel())
        drawn = Image.fromarray(values).transform(
            (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST, fillcolor=border
        )
        return np.array(drawn)


def fit_similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """The matrix [2, 3] of rotation, even scale and shift, without mirroring, that brings ``source`` [N, 2] nearest to
    ``target`` [N, 2] (Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns",
    equations 40 to 42). Raises :class:`ValueError` for fewer than two different points.
    """
    if len(np.unique(source, axis=0)) < 2:
        raise ValueError("at least two different points are needed")
    from_mean, to_mean = source - source.mean(0), target - target.mean(0)
    variance = float(np.square(from_mean).sum())
    u, values, vt = np.linalg.svd(to_mean.T @ from_mean)
    upright = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    linear = (float((values * upright).sum()) / variance) * (u * upright) @ vt
    return _with_shift(linear, source, target)


def fit_affine(source: Points, target: Points) -> NDArray[np.float64]:
    """The matrix [2, 3] that brings ``source`` [N, 2] nearest to ``target`` [N, 2] by least squares.

    Raises :class:`ValueError` for points on one line.
    """
    if len(source) < 3 or np.linalg.matrix_rank(source - source[0], rtol=1e-4) < 2:
        raise ValueError("at least three points that are not on one line are needed")
    from_mean, to_mean = source - source.mean(0), target - target.mean(0)
    linear = np.linalg.lstsq(from_mean, to_mean, rcond=None)[0].T
    return _with_shift(linear, source, target)


def _with_shift(linear: NDArray[np.float64], source: Points, target: Points) -> NDArray[np.float64]:
    if abs(np.linalg.det(linear)) < 1e-12:
        raise ValueError("the points would coincide")
    shift = target.mean(0) - linear @ source.mean(0)
    return np.concatenate([linear, shift[:, None]], axis=1)
