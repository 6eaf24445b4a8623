"""Objectives that teach a trunk to compare images of a domain, without labels and without classes.

- :class:`Repair`: a damaged image goes in, the whole one comes out (denoising and inpainting).
- :class:`Instances`: two augmented views of an image are matched among those of others (instance discrimination, Wu et
  al. 2018; the loss is NT-Xent of Chen et al. 2020, "A Simple Framework for Contrastive Learning", equation 1).
- :class:`GeneratorFeatures`: the trunk predicts the features from which the generator drew the image.

Each has a small head that is dropped after the training.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.inversion.perceptual.domain import PerceptualTrunk

HOLES = 3
NOISE, SHIFT = 0.08, 0.2
TEMPERATURE = 0.2
PROJECTED = 64
MOST_TARGETS = 32
"""Numbers of a feature layer that are predicted; wider layers are projected."""


class Repair(nn.Module):
    """A decoder that draws the whole image from the trunk's features of a damaged one."""

    def __init__(self, channels: Sequence[int], width: int = 24) -> None:
        super().__init__()
        self.mix = nn.ModuleList(nn.Conv2d(count, width, 3, padding=1) for count in channels)
        self.draw = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """taps: [N, C_k, h_k, w_k], finest first → images float [N, 3, H, W]."""
        x: Tensor | None = None
        for tap, mix in zip(reversed(taps), reversed(self.mix), strict=True):
            tap = mix(tap)
            x = F.relu(tap if x is None else tap + F.interpolate(x, tap.shape[2:], mode="bilinear"))
        drawn: Tensor = self.draw(x)
        return drawn

    def loss(self, trunk: PerceptualTrunk, images: Tensor, random: torch.Generator) -> Tensor:
        """Mean absolute error of the repaired images; images: float [N, 3, H, W] in [-1, 1]."""
        repaired: Tensor = self(trunk(damaged(images, random)))
        return (repaired - images).abs().mean()


def damaged(images: Tensor, random: torch.Generator) -> Tensor:
    """Return images float [N, 3, H, W] with noise, a colour shift and three grey rectangles, for each its own."""
    n, _, height, width = images.shape
    shift, noise = torch.randn(n, 3, 1, 1, generator=random), torch.randn(images.shape, generator=random)
    x = images + (SHIFT * shift + NOISE * noise).to(images.device)
    for _ in range(HOLES):
        x = x.masked_fill(_rectangles(n, height, width, random).to(images.device), 0.0)
    return x


def _rectangles(n: int, height: int, width: int, random: torch.Generator) -> Tensor:
    """Return rectangles of a sixteenth to a third of each side, bool [n, 1, H, W]."""
    inside = []
    for side in (height, width):
        begin = torch.randint(side, (n, 1), generator=random)
        length = torch.randint(max(1, side // 16), max(2, side // 3 + 1), (n, 1), generator=random)
        places = torch.arange(side)[None]
        inside.append((places >= begin) & (places < begin + length))
    rows, columns = inside
    return (rows[:, :, None] & columns[:, None, :])[:, None]


class Instances(nn.Module):
    """A projection of the deepest features, in which views of one image are close."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Linear(sum(channels[-2:]), 2 * PROJECTED), nn.ReLU(), nn.Linear(2 * PROJECTED, PROJECTED)
        )

    def loss(self, trunk: PerceptualTrunk, images: Tensor, random: torch.Generator) -> Tensor:
        """NT-Xent of two views of each of N ≥ 2 images, over its value for views that are all equal (about 1 to 0)."""
        views = torch.cat([augmented(images, random), augmented(images, random)])
        taps = trunk(views)[-2:]
        projected = F.normalize(self.head(torch.cat([tap.mean((2, 3)) for tap in taps], 1)), dim=1)
        similarity = projected @ projected.T / TEMPERATURE
        count = len(images)
        similarity.fill_diagonal_(-torch.inf)
        partner = torch.arange(2 * count, device=images.device).roll(count)
        return F.cross_entropy(similarity, partner) / torch.tensor(2.0 * count - 1).log()


def augmented(images: Tensor, random: torch.Generator) -> Tensor:
    """Return images, each cropped to 60 to 100 % of its sides and resized back, with colour shift and noise."""
    n = len(images)
    scale = 0.6 + 0.4 * torch.rand(n, generator=random)
    room = 1 - scale
    across, down = (room * (2 * torch.rand(n, generator=random) - 1) for _ in range(2))
    transform = torch.zeros(n, 2, 3)
    transform[:, 0, 0] = transform[:, 1, 1] = scale
    transform[:, 0, 2], transform[:, 1, 2] = across, down
    grid = F.affine_grid(transform.to(images.device), list(images.shape), align_corners=False)
    x = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    shift, noise = torch.randn(n, 3, 1, 1, generator=random), torch.randn(images.shape, generator=random)
    gain = 1 + 0.2 * torch.randn(n, 1, 1, 1, generator=random)
    return x * gain.to(images.device) + (SHIFT * shift + NOISE * noise).to(images.device)


class GeneratorFeatures(nn.Module):
    """Linear maps from the trunk's features to standardised features of the generator."""

    def __init__(self, channels: Sequence[int], targets: Sequence["FeatureTarget"]) -> None:
        super().__init__()
        self.targets = tuple(targets)
        self.heads = nn.ModuleList(nn.Conv2d(channels[one.tap], one.width, 1) for one in self.targets)

    def loss(self, trunk: PerceptualTrunk, images: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Mean absolute error over targets; features: the generator's, standardised, in the order of the targets."""
        taps = trunk(images)
        errors = [
            (head(taps[one.tap]) - wanted).abs().mean()
            for one, head, wanted in zip(self.targets, self.heads, features, strict=True)
        ]
        return torch.stack(errors).mean()


class FeatureTarget:
    """A layer of the generator that a tap of the same size predicts, standardised and projected to few channels."""

    def __init__(self, layer: int, tap: int, seen: Tensor, random: torch.Generator) -> None:
        """seen: features of some samples [N, C, h, w], from which mean and deviation are measured."""
        self.layer, self.tap = layer, tap
        channels = seen.shape[1]
        self.width = min(channels, MOST_TARGETS)
        self.mean = seen.mean((0, 2, 3), keepdim=True)
        self.deviation = seen.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
        mixed = torch.randn(channels, self.width, generator=random) / channels**0.5
        self.projection = None if channels == self.width else mixed.to(seen.device)

    def standardised(self, features: Tensor) -> Tensor:
        """Features of the layer [N, C, h, w] → [N, width, h, w]."""
        x = (features - self.mean) / self.deviation
        return x if self.projection is None else torch.einsum("nchw,cd->ndhw", x, self.projection)
