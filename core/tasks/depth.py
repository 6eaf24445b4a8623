"""Depth: a label is a distance for each pixel, in the label set's unit; 0 where nothing was measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLAMP = (1e-3, 80.0)
"""Predictions are clamped to this before RMSE and RMSE-log (HandsOff section 4.4)."""
CROP = 0.5
"""RMSE and RMSE-log look at the centred window of so much of each side."""


@dataclass(frozen=True)
class DepthSums:
    """Sums behind the depth errors; those of several images add up."""

    squared: float = 0.0
    power: float = 0.0
    window_squared: float = 0.0
    window_log_squared: float = 0.0
    pixels: int = 0
    window_pixels: int = 0

    def __add__(self, other: "DepthSums") -> "DepthSums":
        return DepthSums(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def mnmse(self) -> float:
        """Squared error over squared truth, on valid pixels of the whole image; NaN without any."""
        return self.squared / self.power if self.power else float("nan")

    @property
    def rmse(self) -> float:
        """Root mean squared error on valid pixels of the window, in the unit of the labels; NaN without any."""
        return (self.window_squared / self.window_pixels) ** 0.5 if self.window_pixels else float("nan")

    @property
    def rmse_log(self) -> float:
        """The same of natural logarithms."""
        return (self.window_log_squared / self.window_pixels) ** 0.5 if self.window_pixels else float("nan")


def depth_sums(
    truth: NDArray[np.float32],
    predicted: NDArray[np.float32],
    clamp: tuple[float, float] = CLAMP,
    crop: float = CROP,
) -> DepthSums:
    """Errors of predicted depth (HandsOff section 4.4), on valid pixels alone, as sums.

    truth: float [..., H, W], 0 (or less, or not finite) where nothing was measured. predicted: float of that shape.
    The released code of HandsOff also counts invalid pixels, clamped, and the whole image; this does as the paper says.
    Raises ValueError for different shapes.
    """
    if truth.shape != predicted.shape or truth.ndim < 2:
        raise ValueError(f"truth has the shape {truth.shape}, prediction {predicted.shape}")
    valid = np.isfinite(truth) & (truth > 0)
    y, guess = truth[valid].astype(np.float64), predicted[valid].astype(np.float64)
    top, left = (round((1 - crop) / 2 * side) for side in truth.shape[-2:])
    window = (..., slice(top, truth.shape[-2] - top), slice(left, truth.shape[-1] - left))
    inside = valid[window]
    z = truth[window][inside].astype(np.float64)
    near = predicted[window][inside].astype(np.float64).clip(*clamp)
    return DepthSums(
        squared=float(np.square(guess - y).sum()),
        power=float(np.square(y).sum()),
        window_squared=float(np.square(near - z).sum()),
        window_log_squared=float(np.square(np.log(near) - np.log(z)).sum()),
        pixels=len(y),
        window_pixels=len(z),
    )
