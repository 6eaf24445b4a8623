"""The random numbers of a head: one vector for each (seed, index), whatever else is drawn."""

import numpy as np
from numpy.typing import NDArray

from testbed.latents import draw_stream
from testbed.world.parameters import LATENT_COUNT


def draw_latents(seed: int, start: int, count: int) -> NDArray[np.float32]:
    """Return heads `start … start + count - 1` of stream `seed` as latents, float32 [count, LATENT_COUNT]."""
    return draw_stream(seed, start, count, LATENT_COUNT)
