"""Coordinates in which codes are refined: the principal axes of the generator's codes.

The codes of a generator are spread unevenly: a few directions carry nearly all differences, and along most others codes
hardly differ. Adam takes steps of one size along every coordinate, so in the coordinates of the code itself a fitted
code soon leaves the region of drawn codes along directions without meaning, where features no longer match those of
drawn images, and moves slowly along the directions that matter. Along the principal axes, each scaled by its spread,
it does neither (the space P_N of Zhu et al. 2020, "Improved StyleGAN Embedding: Where are the Good Latents?", without
its penalty).
"""

import torch
from torch import Tensor

from core.generators.interface import Invertible
from core.inversion.initial_codes import SPREAD_SAMPLES

LEAST_SPREAD = 3e-3
"""Of the largest: along what the generator never varies a code may still move a little."""


@torch.no_grad()
def principal_axes(sampler: Invertible, seed: int = 0) -> Tensor:
    """Return the axes, float [width, width], a column each, as long as the codes spread along it (RMS).

    A step u along the axes is ``axes @ u`` in a row. For a generator whose codes are all equal: the identity.
    """
    codes = sampler.random_rows(SPREAD_SAMPLES, seed)
    centred = (codes - codes.mean(0)).to("cpu", torch.float64)
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    spread = variances.clamp(min=0).sqrt()
    if not spread[-1] > 0:
        return torch.eye(len(spread), device=codes.device)
    axes: Tensor = directions * spread.clamp(min=LEAST_SPREAD * float(spread[-1]))
    return axes.to(codes.device, codes.dtype)
