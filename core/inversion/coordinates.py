"""Coordinates in which codes are refined.

W is spread unevenly: a few directions hold nearly all that tells the generator's codes apart, and along most others
they hardly differ. Adam walks alike along every coordinate, so in w itself a code soon leaves the places that the
generator knows, along directions that mean nothing to it, where its features say other things than in its own images;
and walks slowly along those that mean most. Along the principal axes, each measured by its spread, it does neither (the
space P_N of Zhu et al. 2020, "Improved StyleGAN Embedding: Where are the Good Latents?", without its penalty).
"""

import torch
from torch import Tensor

from core.generators.stylegan2.network import Network
from core.inversion.initial_codes import SPREAD_SAMPLES, random_codes

LEAST_SPREAD = 3e-3
"""Of the largest: along what the generator never varies a code may still move a little."""


@torch.no_grad()
def principal_axes(generator: Network, seed: int = 0) -> Tensor:
    """Axes of W, float [w_dim, w_dim], a column each, as long as the generator's codes spread along it (RMS).

    A step u along the axes is ``axes @ u`` in w. Of a generator whose codes are all the same, the axes of w itself.
    """
    codes = random_codes(generator, SPREAD_SAMPLES, seed)
    centred = (codes - codes.mean(0)).to("cpu", torch.float64)
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    spread = variances.clamp(min=0).sqrt()
    if not spread[-1] > 0:
        return torch.eye(len(spread), device=codes.device)
    axes: Tensor = directions * spread.clamp(min=LEAST_SPREAD * float(spread[-1]))
    return axes.to(codes.device, codes.dtype)
