"""Coordinates of w in which a distance is a change of the picture.

The code reader is free in how it spreads heads over w: directions that change nothing may carry most of the variance,
and a network taught to answer with w (the mapping network, an encoder) would spend itself on them. The affine layers
are linear in w, so any other basis of W draws the same pictures; here it is the one in which a small step of length 1
changes every picture by about as much in every direction that matters, and directions that do not matter are short.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.generators.stylegan2.network import Network, StyledConv, ToRGB
from testbed.recipes.reader import SCALE, CodeReader

FLOOR = 1e-4
"""Sensitivities below this share of the largest count as this much, so that the change of basis can be undone."""
ABOVE = 4.0
SECANTS = 48
"""Heads that the weight of a direction is measured on."""


def sensitivity(generator: Network, w: Tensor, weights: Tensor, seed: int = 0) -> Tensor:
    """How the picture answers to w: the mean of Jᵀ diag(weights) J over the given codes, float32 [w_dim, w_dim].

    w: [N, w_dim]; weights: [N, 1, H, W], how much each pixel counts. J is the derivative of the picture in [-1, 1] by
    w, met by one random direction of pictures for each code.
    """
    random = torch.Generator().manual_seed(seed)
    total = torch.zeros(w.shape[1], w.shape[1])
    for codes, pixels in zip(torch.split(w, 32), torch.split(weights, 32), strict=True):
        leaf = codes.detach().requires_grad_()
        drawn = generator.synthesize(leaf[:, None].expand(-1, generator.num_ws, -1)).image
        direction = torch.randn(drawn.shape, generator=random) * pixels.sqrt()
        (answer,) = torch.autograd.grad(drawn, leaf, direction)
        total += answer.T @ answer
    return total / len(w)


@dataclass(frozen=True)
class Basis:
    """w' = there · w + shift, and back."""

    there: Tensor
    back: Tensor
    shift: Tensor


def picture_basis(sensitivities: Tensor, w: Tensor) -> Basis:
    """The basis for codes like ``w`` [N, w_dim], which have mean square 1 about their mean there.

    Their mean lies ABOVE spreads from zero in each coordinate: a mapping network ends in a leaky ReLU, which is a line
    for numbers above zero and has a kink in the middle of numbers around it.
    """
    values, directions = torch.linalg.eigh(sensitivities.double())
    lengths = values.clamp(min=float(values[-1]) * FLOOR).sqrt()
    centred = (w - w.mean(0)).double()
    there = directions * lengths @ directions.T
    scale = 1 / (centred @ there).square().mean().sqrt()
    there, back = there * scale, directions / (lengths * scale) @ directions.T
    shift = ABOVE * (centred @ there).std(0) - w.mean(0).double() @ there
    return Basis(there.float(), back.float(), shift.float())


@torch.no_grad()
def differences(generator: Network, w: Tensor, weights: Tensor, measured: int = 200) -> Tensor:
    """A matrix D, [w_dim, w_dim], with |(w₁ - w₂) D|² about the picture's change from w₁ to w₂ for codes far apart.

    The derivative tells of small steps alone, and moving an edge a little changes a picture as fast as it ever will:
    by it, pose would count for nearly all and colours for little. So each principal direction of the codes ``w``
    [N, w_dim] is weighed by what happens when a head takes over another head's place along it. Beyond the first
    ``measured`` directions codes hardly differ, and a step from head to head tells nothing; yet the picture answers to
    errors there as well, so each counts as much as the mean of the measured ones.
    """
    centred = w - w.mean(0)
    directions = torch.linalg.svd(centred).Vh  # [w_dim, w_dim]
    codes, pixels = w[:SECANTS], weights[:SECANTS]
    drawn = generator.synthesize(codes[:, None].expand(-1, generator.num_ws, -1)).image
    found = []
    for direction in directions[:measured]:
        steps = (codes.roll(1, 0) - codes) @ direction  # [SECANTS]
        moved = codes + steps[:, None] * direction
        changed = generator.synthesize(moved[:, None].expand(-1, generator.num_ws, -1)).image - drawn
        found.append((changed.square() * pixels).mean() / steps.square().mean())
    squares = torch.stack(found)
    rest = squares.mean().expand(len(directions) - len(squares))
    scaled: Tensor = directions.T * torch.cat([squares, rest]).sqrt()
    return scaled


@torch.no_grad()
def rebase(network: nn.Module, basis: Basis) -> None:
    """Make every affine layer of a network read w' where it read w: the pictures stay."""
    for layer in network.modules():
        if isinstance(layer, StyledConv | ToRGB):
            affine = layer.affine
            affine.weight.copy_(affine.weight @ basis.back)
            affine.bias.sub_(affine.weight @ basis.shift * affine.weight_scale)


@torch.no_grad()
def rebase_reader(reader: CodeReader, basis: Basis) -> None:
    """Make a code reader answer with w'."""
    last = reader[-1]
    assert isinstance(last, nn.Linear)
    last.weight.copy_(basis.there @ last.weight)
    last.bias.copy_(basis.there @ last.bias + basis.shift / SCALE)
