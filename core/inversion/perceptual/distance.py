"""What every perceptual distance is: unit-normalised features of a convolutional trunk, compared.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", equation 1. Features of the
targets are computed once and used at every step. A trunk never runs on random weights: what is missing is an error that
names the file to provide.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

Features = tuple[Tensor, ...]
"""Unit-normalised features, one [N, C, h, w] a tap."""


class LossWeights(NamedTuple):
    """Weights of the two image losses: of the perceptual distance, and of the mean squared error of images in [0,
    1].
    """

    perceptual: float
    l2: float


class Perceptual(nn.Module, ABC):
    """A frozen perceptual distance. ``name`` says which, in every report."""

    name: str
    loss_weights: LossWeights

    @abstractmethod
    def features(self, images: Tensor) -> Features:
        """images: float [N, 3, H, W] in [-1, 1]. Unit-normalised features of every tap, differentiable in the
        images.
        """

    @abstractmethod
    def compare(self, features: Features, target: Features) -> Tensor:
        """Distance [N] ≥ 0 between two sets of features of this distance."""

    def distance(self, images: Tensor, target: Features) -> Tensor:
        """Distance [N] of images [N, 3, H, W] in [-1, 1] from targets of the same size, given by their features."""
        return self.compare(self.features(images), target)


def unit(x: Tensor, epsilon: float) -> Tensor:
    """x [N, C, h, w] with length 1 over channels; ε under the root keeps the gradient finite where all channels are
    0.
    """
    return x * (x.square().sum(1, keepdim=True) + epsilon).rsqrt()
