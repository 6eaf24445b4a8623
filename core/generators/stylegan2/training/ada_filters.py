"""Wavelet filters of adaptive augmentation: the sym6 lowpass for resampling, a bank of octaves from sym2."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

_SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
_SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)

SYM6 = tuple(tap / sum(_SYM6) for tap in _SYM6)
"""Lowpass of the sym6 wavelet (Daubechies 1992, table 6.3), scaled to sum 1."""

OCTAVES = 4
"""Filters of the bank: what is left below, then one octave each, the highest last."""


@cache
def octave_filters() -> Tensor:
    """Return the filters of the bank, float32 [4, 43]; they sum to the identity (appendix B, "image-space filtering").

    The autocorrelations of sym2's lowpass and highpass split a signal into two halves; splitting the lower half of
    what is left over and over makes octaves.
    """
    low = np.array(_SYM2)
    high = low * (-1.0) ** np.arange(len(low))
    low, high = np.convolve(low, low[::-1]) / 2, np.convolve(high, high[::-1]) / 2
    bank = np.eye(OCTAVES, 1)
    for octave in range(1, OCTAVES):
        spread = np.zeros((OCTAVES, 2 * bank.shape[1] - 1))
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(row, low) for row in spread])
        centre = bank.shape[1] // 2
        bank[octave, centre - len(high) // 2 : centre + len(high) // 2 + 1] += high
    return torch.from_numpy(bank).float()


PADDING = 21
"""Half of the bank's taps: images are padded by as many pixels, and have to be larger."""
