"""Spectral norm by power iteration from a stored vector, as ajbrock/BigGAN-PyTorch computes it."""

import torch
from torch import Tensor
from torch.nn import functional as F


def spectral_normalised(weight: Tensor, u: Tensor, *, eps: float, iterations: int = 1, update: bool = False) -> Tensor:
    """Return ``weight`` [out, ...] divided by an estimate of its largest singular value (Miyato et al. 2018).

    u: float [out], where the iteration starts. update: store where it ends in ``u``, as in training; otherwise one
    iteration is made. Differentiable by the weight.
    """
    matrix = weight.flatten(1)
    with torch.no_grad():
        end = u
        v = u
        # Without an update each iteration of the original starts from the stored vector again: more change nothing.
        for _ in range(iterations if update else 1):
            v = F.normalize(end @ matrix, dim=0, eps=eps)
            end = F.normalize(matrix @ v, dim=0, eps=eps)
        if update:
            u.copy_(end)
    return weight / ((matrix @ v) @ end)
