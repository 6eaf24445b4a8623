"""Mixing colours: N of them at once, float64 [..., 3] in [0, 1]."""

import numpy as np
from numpy.typing import NDArray


def along(palette: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Piecewise-linear walk through a palette [K, 3]: t [...] in [0, 1] → colours [..., 3]."""
    at = np.linspace(0, 1, len(palette))
    return np.stack([np.interp(t, at, palette[:, channel]) for channel in range(3)], axis=-1)


def blend(a: NDArray[np.float64], b: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """From a (weight 0) to b (weight 1); weight [...] for colours [..., 3]."""
    return a + (b - a) * weight[..., None]


def ramp(x: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """0 below ``low``, 1 above ``high``, linear between."""
    return np.clip((x - low) / (high - low), 0, 1)
