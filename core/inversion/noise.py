"""Noise maps fitted beside the code: they take up what is grain in a photograph, so that the code need not.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix D: maps of mean 0 and variance 1,
held back from carrying signal by the squares of their autocorrelations at all scales. The maps are a nuisance here:
they are thrown away in the end, and only the code goes on to the labeler.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from core.generators.interface import Invertible

SMALLEST = 8
"""Maps are compared with themselves down to this many pixels a side."""


def initial_maps(sampler: Invertible, count: int) -> tuple[Tensor, ...]:
    """Return the generator's own noise, [count, 1, h, w] for each layer, each map with mean 0 and variance 1.

    Raises :class:`core.errors.InversionError` for a generator without noise.
    """
    return tuple(normalised(noise) for noise in sampler.noise_maps(count))


def normalised(noise: Tensor) -> Tensor:
    """Each map of [N, 1, h, w] shifted and scaled to mean 0 and variance 1."""
    noise = noise - noise.mean((2, 3), keepdim=True)
    return noise * (noise.square().mean((2, 3), keepdim=True) + 1e-8).rsqrt()


def autocorrelation(maps: tuple[Tensor, ...]) -> Tensor:
    """How far the maps are from independent grain, [N] ≥ 0: the squared correlations with their neighbours to the
    right and below, summed over maps and over scales halved by 2x2 means down to 8 pixels (appendix D).
    """
    total = maps[0].new_zeros(len(maps[0]))
    for noise in maps:
        scaled = noise
        while True:
            for axis in (2, 3):
                total = total + (scaled * torch.roll(scaled, 1, axis)).mean((1, 2, 3)).square()
            if min(scaled.shape[2:]) <= SMALLEST:
                break
            # Twice the mean of four independent numbers of variance 1 has variance 1 again; signal grows.
            scaled = F.avg_pool2d(scaled, 2) * 2
    return total
