"""What refinement minimises, and the ball it stays in."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from core.generators.stylegan2 import Generator
from core.inversion.config import InversionConfig, Norm
from core.inversion.perceptual import Features, Perceptual

ACTIVATION_OVERHEAD = 1.5
"""Memory of a step over what autograd keeps: gradients on the way and the convolutions' own workspace."""

SHRINK = 1e-4
"""Projected codes stay this relative bit inside of the ball, so that rounding never puts them outside."""


@dataclass(frozen=True)
class Objective:
    """Weighted perceptual distance and squared error, and what is added for leaving the start or W."""

    generator: Generator
    perceptual: Perceptual
    config: InversionConfig
    perceptual_weight: float
    l2_weight: float

    @classmethod
    def of(cls, generator: Generator, perceptual: Perceptual, config: InversionConfig) -> "Objective":
        """The objective with the weights of ``config``, or where it has none those that the perceptual distance asks
        for.
        """
        weights = perceptual.loss_weights
        return cls(
            generator,
            perceptual,
            config,
            weights.perceptual if config.perceptual_weight is None else config.perceptual_weight,
            weights.l2 if config.l2_weight is None else config.l2_weight,
        )

    @torch.no_grad()
    def features(self, target: Tensor) -> Features:
        """Perceptual features of targets float [N, 3, H, W] in [-1, 1]."""
        return self.perceptual.features(self.comparable(target))

    def comparable(self, images: Tensor) -> Tensor:
        """Images at the size at which they are compared."""
        height, width = images.shape[2:]
        shrink = self.config.loss_size / max(height, width)
        if shrink >= 1:
            return images
        return F.adaptive_avg_pool2d(images, (round(height * shrink), round(width * shrink)))

    def image_losses(self, images: Tensor, target: Tensor, features: Features) -> tuple[Tensor, Tensor]:
        """(perceptual distance [N], mean squared error [N] of images in [0, 1]) of images [N, 3, H, W] from targets."""
        images, target = self.comparable(images), self.comparable(target)
        return self.perceptual.distance(images, features), (images - target).square().mean((1, 2, 3)) / 4

    def draw(self, codes: Tensor) -> Tensor:
        """Codes [N, num_ws or 1, w_dim] → images float [N, 3, H, W], not clamped."""
        return self.generator.synthesize(codes.expand(-1, self.generator.num_ws, -1), self.config.noise).image

    def loss(self, codes: Tensor, centre: Tensor, target: Tensor, features: Features) -> Tensor:
        """Loss [N] at codes [N, num_ws or 1, w_dim]; centre [N, num_ws, w_dim] is where they started."""
        perceptual, l2 = self.image_losses(self.draw(codes), target, features)
        loss = self.perceptual_weight * perceptual + self.l2_weight * l2
        if self.config.constraint == "penalty":
            loss = loss + self.config.penalty_weight * (codes - centre).square().mean((1, 2))
        if self.config.w_deviation_weight:
            loss = loss + self.config.w_deviation_weight * (codes - codes.mean(1, keepdim=True)).square().mean((1, 2))
        return loss


def distance_from(codes: Tensor, centre: Tensor, norm: Norm) -> Tensor:
    """How far codes [N, num_ws, w_dim] are from their centre, [N], in units of w."""
    difference = codes - centre
    if norm == "flat":
        return difference.square().sum((1, 2)).sqrt()
    return difference.square().mean(2).sqrt().amax(1)


def project(codes: Tensor, centre: Tensor, radius: float, norm: Norm) -> Tensor:
    """The nearest codes [N, num_ws or 1, w_dim] within ``radius`` of centre [N, num_ws, w_dim] by ``norm``.

    With one row of codes the rows of the centre are equal, and the norm is that of the row repeated for every layer.
    """
    repeated = centre.shape[1] // codes.shape[1]
    centre = centre[:, : codes.shape[1]]
    difference = codes - centre
    if norm == "flat":
        length = difference.square().sum((1, 2), keepdim=True).sqrt() * math.sqrt(repeated)  # [N, 1, 1]
    else:
        length = difference.square().mean(2, keepdim=True).sqrt()  # [N, rows, 1]
    inside = length <= radius * (1 - SHRINK)
    return torch.where(inside, codes, centre + difference * (radius * (1 - SHRINK) / length.clamp(min=1e-30)))


def bytes_per_image(objective: Objective, generator: Generator, device: torch.device | str) -> int:
    """Memory that one more image in the batch takes: what autograd keeps of one step on one image, counted."""
    weights = {
        p.untyped_storage().data_ptr() for module in (generator, objective.perceptual) for p in module.parameters()
    }
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    codes = generator.w_avg.to(device).expand(1, generator.num_ws, -1).clone()
    target = torch.zeros(1, 3, *generator.config.resolution, device=device)
    features = objective.features(target)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = objective.loss(codes.requires_grad_(), codes.detach(), target, features)
    total = sum(kept.values()) + sum(tap.nbytes for tap in features) + target.nbytes
    assert loss.numel() == 1
    return int(total * ACTIVATION_OVERHEAD)
