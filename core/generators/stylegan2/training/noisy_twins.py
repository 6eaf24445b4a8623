"""NoisyTwins (Rangwani et al. 2023): noise on class embeddings, Barlow Twins on pairs that share class and latent."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["released", "paper"]
"""Noise of a class from its effective number of images E = (1 - βⁿ) / (1 - β). released: σ times 1 / E over the mean of
1 / E, as in the authors' code. paper: σ / E, as in equation 3; some 80 times less on CIFAR10-LT.
"""

VARIANCE_EPSILON = 1e-5


def class_noise(counts: Sequence[int], std: float, beta: float, normalisation: Normalisation = "released") -> Tensor:
    """Return the standard deviation of the noise on each class's embedding, float32 [K].

    counts: training images of each class, at least one. beta: 0 gives all classes the same.
    """
    if beta == 0:
        return torch.full((len(counts),), std)
    inverse = (1 - beta) / (1 - torch.tensor(beta, dtype=torch.float64) ** torch.tensor(list(counts)))
    weights = inverse / inverse.mean() if normalisation == "released" else inverse
    return (weights * std).float()


def embedding_noise(class_std: Tensor, c: Tensor, width: int) -> Tensor:
    """Draw noise for the embeddings of class vectors c [N, K] with torch's global random numbers, float [N, width]."""
    std = class_std[c.argmax(1)][:, None]
    return torch.randn(len(c), width, device=c.device) * std


def barlow_loss(first: Tensor, second: Tensor, weight: float, gamma: float) -> Tensor:
    """Return weight * [Σ_j (C_jj - 1)² + gamma Σ_{j≠k} C_jk²]; C is the correlation of two batches of w, [N, w_dim].

    Each batch is standardised by its own biased variance (the released code; equations 5 and 6 of the paper print
    neither the mean nor the roots). Gradients flow through both.
    """
    correlation = standardised(first).t() @ standardised(second) / len(first)  # [w_dim, w_dim]
    diagonal = correlation.diagonal()
    off_diagonal = correlation.square().sum() - diagonal.square().sum()
    return weight * ((diagonal - 1).square().sum() + gamma * off_diagonal)


def standardised(w: Tensor) -> Tensor:
    """Return w [N, w_dim] with mean 0 and variance 1 over the batch."""
    variance, mean = torch.var_mean(w, dim=0, correction=0)
    return (w - mean) * (variance + VARIANCE_EPSILON).rsqrt()
