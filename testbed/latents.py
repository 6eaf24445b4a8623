"""The random numbers of a world: one vector for each (seed, index), whatever else is drawn."""

import numpy as np
from numpy.typing import NDArray


def draw_stream(seed: int, start: int, count: int, size: int) -> NDArray[np.float32]:
    """Return rows `start … start + count - 1` of stream `seed` as latents.

    Each row is a standard normal vector scaled to unit second moment, as a style-based generator normalises its input
    (so that a row means the same picture to a world and to a generator taught on it).

    Returns:
        float32 [count, size].
    """
    rows = np.stack(
        [np.random.Generator(np.random.Philox(key=[seed, start + i])).standard_normal(size) for i in range(count)]
    )
    return normalise(rows).astype(np.float32)


def normalise(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Scale each row to unit second moment."""
    scaled: NDArray[np.floating] = rows / np.sqrt(np.mean(np.square(rows), axis=1, keepdims=True) + 1e-8)
    return scaled
