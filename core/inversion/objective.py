"""What refinement minimises, and the ball it stays in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from core.generators.interface import Invertible
from core.inversion.config import InversionConfig, Norm
from core.inversion.noise import autocorrelation, initial_maps
from core.inversion.perceptual.distance import Features, Perceptual
from core.inversion.precision import features_of, image_of, uses_bfloat16

SHRINK = 1e-4
"""Projected codes stay this relative bit inside of the ball, so that rounding never puts them outside."""


class Losses(NamedTuple):
    """One number an image, [N]."""

    total: Tensor
    """What is minimised."""
    l2: Tensor
    """Mean squared error of images in [0, 1], as drawn."""


@dataclass(frozen=True)
class Objective:
    """Weighted perceptual distance and squared error, with penalties for leaving the start and for unequal rows."""

    sampler: Invertible
    perceptual: Perceptual
    config: InversionConfig
    perceptual_weight: float
    l2_weight: float
    autocast: bool = False
    """Networks run in bfloat16 where torch's autocast does so; codes, images, features and losses stay float32."""

    @classmethod
    def of(cls, sampler: Invertible, perceptual: Perceptual, config: InversionConfig) -> "Objective":
        """The objective with the weights of ``config``, or where it has none those that the perceptual distance asks
        for.
        """
        weights = perceptual.loss_weights
        return cls(
            sampler,
            perceptual,
            config,
            weights.perceptual if config.perceptual_weight is None else config.perceptual_weight,
            weights.l2 if config.l2_weight is None else config.l2_weight,
            uses_bfloat16(config.precision, sampler.device),
        )

    @property
    def exact(self) -> "Objective":
        """The same in float32 throughout: what reports are measured with."""
        return replace(self, autocast=False)

    @torch.no_grad()
    def features(self, target: Tensor) -> Features:
        """Perceptual features of targets float [N, 3, H, W] in [-1, 1]."""
        return self.perceptual_features(self.comparable(target))

    def perceptual_features(self, images: Tensor) -> Features:
        """Perceptual features of images float [N, 3, h, w] at the size at which they are compared."""
        return features_of(self.perceptual, images, self.autocast)

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
        return self.perceptual.compare(self.perceptual_features(images), features), (images - target).square().mean(
            (1, 2, 3)
        ) / 4

    def draw(self, codes: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """Codes [N, rows or 1, width] → images float [N, 3, H, W], not clamped; with the given noise maps."""
        return image_of(self.sampler, codes.expand(-1, self.sampler.rows, -1), maps, self.autocast)

    def noise_maps(self, count: int) -> tuple[Tensor, ...]:
        """Noise maps to begin with, or none where the settings do not ask for any. Raises :class:`InversionError`."""
        return initial_maps(self.sampler, count) if self.config.fit_noise else ()

    def losses(
        self, codes: Tensor, centre: Tensor, target: Tensor, features: Features, maps: tuple[Tensor, ...] = ()
    ) -> Losses:
        """Losses at codes [N, rows or 1, width]; centre [N, rows, width] is where they started."""
        perceptual, l2 = self.image_losses(self.draw(codes, maps), target, features)
        loss = self.perceptual_weight * perceptual + self.l2_weight * l2
        if self.config.constraint == "penalty":
            loss = loss + self.config.penalty_weight * (codes - centre).square().mean((1, 2))
        if self.config.row_deviation_weight:
            loss = loss + self.config.row_deviation_weight * (codes - codes.mean(1, keepdim=True)).square().mean((1, 2))
        if maps:
            loss = loss + self.config.noise_weight * autocorrelation(maps)
        return Losses(loss, l2)


def distance_from(codes: Tensor, centre: Tensor, norm: Norm) -> Tensor:
    """How far codes [N, rows, width] are from their centre, [N], in units of the code."""
    difference = codes - centre
    if norm == "flat":
        return difference.square().sum((1, 2)).sqrt()
    return difference.square().mean(2).sqrt().amax(1)


def project(codes: Tensor, centre: Tensor, radius: float, norm: Norm) -> Tensor:
    """The nearest codes [N, rows or 1, width] within ``radius`` of centre [N, rows, width] by ``norm``.

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
