"""The small segmentation net with which everything in the testbed is judged: one recipe for every arm.

A U-Net for 64×64 pictures, trained with ordinary augmentation (flips, shifts, turns, scale, brightness, contrast,
saturation) and class weights of frequency^-0.5. The recipe was chosen on validation heads, never on the test heads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Recipe:
    """How every arm is trained."""

    steps: int = 600
    batch: int = 32
    learning_rate: float = 3e-3
    width: int = 16
    augment: bool = True


class _Block(nn.Sequential):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip


class UNet(nn.Module):
    """[N, 3, S, S] in [-1, 1] → logits [N, K, S, S]; S a multiple of 8."""

    def __init__(self, class_count: int, width: int = 16) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 6 * width]
        self.down = nn.ModuleList(_Block(i, o) for i, o in zip([3, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(_Block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv2d(width, class_count, 1)

    def trunk(self, images: Tensor) -> list[Tensor]:
        """Outputs of the downward blocks, finest first."""
        x, taps = images, []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            taps.append(x)
        return taps

    def forward(self, images: Tensor) -> Tensor:
        *skips, x = self.trunk(images)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        logits: Tensor = self.head(x)
        return logits


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """uint8 [N, H, W, 3] → float32 [N, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def augmented(images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random flip, shift, turn, scale, brightness, contrast and saturation, each image its own."""
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    angle, scale = uniform(-0.26, 0.26), uniform(0.8, 1.2)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [
        torch.stack([cos * flip, -sin, uniform(-0.2, 0.2)], 1),
        torch.stack([sin * flip, cos, uniform(-0.2, 0.2)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    moved = F.grid_sample(masks[:, None].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * uniform(0.5, 1.5)[:, None, None, None]
    images = images * uniform(0.7, 1.3)[:, None, None, None] + uniform(-0.25, 0.25)[:, None, None, None]
    return images.clamp(-1, 1), moved[:, 0].long()


def train_segmenter(
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    class_count: int,
    recipe: Recipe,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> UNet:
    """Train on [N, S, S, 3] images and [N, S, S] masks; deterministic for a seed on one machine."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = UNet(class_count, recipe.width)
    frequency = np.bincount(masks.reshape(-1), minlength=class_count)[:class_count] / masks.size
    weights = torch.from_numpy(np.where(frequency > 0, np.maximum(frequency, 1e-6) ** -0.5, 0.0)).float()
    weights /= weights.sum() / (weights > 0).sum()
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.steps)
    net.train()
    for step in range(recipe.steps):
        pick = torch.randint(len(images), (recipe.batch,), generator=generator).numpy()
        x, y = to_tensor(images[pick]), torch.from_numpy(masks[pick].astype(np.int64))
        if recipe.augment:
            x, y = augmented(x, y, generator)
        loss = F.cross_entropy(net(x.contiguous(memory_format=torch.channels_last)), y, weight=weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None and (step + 1) % 20 == 0:
            progress(step + 1, recipe.steps)
    return net.eval()


@torch.no_grad()
def predict(net: UNet, images: NDArray[np.uint8], batch: int = 100) -> NDArray[np.uint8]:
    """Arg-max masks: uint8 [N, S, S]."""
    parts = [net(to_tensor(images[i : i + batch])).argmax(1).byte().numpy() for i in range(0, len(images), batch)]
    return np.concatenate(parts)
