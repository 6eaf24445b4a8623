"""Make the perceptual fallback of a shipped generator: a trunk that has learnt to repair damaged pictures of its world,
without any label.

    python -m testbed.recipes.perceptual --world heads --minutes 4

A picture loses random rectangles and gets noise and a colour shift; the trunk's features, through a small decoder that
is thrown away, must give the whole picture back. What helps to repair a picture is what makes two alike:
edges, parts, colours. It comes before the generator, which is taught with it. The loss weights stored with it balance
the gradients of the two terms of the inversion.
"""

import argparse
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.image_arrays import as_tensor, to_float
from core.inversion.perceptual.distance import LossWeights
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk, save_perceptual
from testbed.recipes.recipe import TRAINING_SEED
from testbed.recipes.shipping import SHIPPED
from testbed.worlds import WORLDS

FIRST = 5_000_000  # far from the scenes that the generator sees in the same stream
LOSS_WEIGHTS = LossWeights(perceptual=1.0, l2=2.0)


class Repair(nn.Module):
    """Trunk and throw-away decoder: damaged [N, 3, 64, 64] → repaired [N, 3, 64, 64]."""

    def __init__(self, trunk: PerceptualTrunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.mix = nn.ModuleList(nn.Conv2d(channels, 24, 3, padding=1) for channels in trunk.channels)
        self.draw = nn.Conv2d(24, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x: Tensor | None = None
        for tap, mix in zip(reversed(self.trunk(images)), reversed(self.mix), strict=True):
            tap = mix(tap)
            x = F.relu(tap if x is None else tap + F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        assert x is not None
        drawn: Tensor = self.draw(x)
        return drawn


def damaged(images: Tensor) -> Tensor:
    """Three grey rectangles, noise and a colour shift, for each image its own."""
    n, _, height, width = images.shape
    x = images + 0.2 * torch.randn(n, 3, 1, 1) + 0.08 * torch.randn_like(images)
    rows, columns = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    for _ in range(3):
        top, left = torch.randint(height, (n, 1, 1)), torch.randint(width, (n, 1, 1))
        tall, wide = torch.randint(4, 22, (n, 1, 1)), torch.randint(4, 22, (n, 1, 1))
        hole = (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)
        x = x.masked_fill(hole[:, None], 0.0)
    return x


def main() -> None:
    """Train for a time and write the trunk beside the generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--world", choices=sorted(WORLDS), default="heads")
    given = parser.parse_args()
    minutes, world = given.minutes, WORLDS[given.world]
    torch.manual_seed(0)
    net = Repair(PerceptualTrunk(((24, 24), (48, 48), (80, 80), (112,))))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    start, step, images = time.time(), 0, torch.empty(0)
    while (gone := (time.time() - start) / (60 * minutes)) < 1:
        at = 16 * step % 1024
        if at == 0:
            images = to_float(as_tensor(world.labelled(TRAINING_SEED, 1024, FIRST + 16 * step).images))
        target = images[at : at + 16]
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2 * (1 - gone))
        loss = (net(damaged(target)) - target).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        if step % 100 == 0:
            print(
                f"step {step}, {16 * step / (time.time() - start):.0f} images/s, error {float(loss.detach()):.4f}",
                flush=True,
            )
    trunk = net.trunk.eval().requires_grad_(False)
    distance = DomainPerceptual(f"{world.generator}-repair-v1", trunk, LOSS_WEIGHTS)
    folder = SHIPPED / world.generator
    folder.mkdir(parents=True, exist_ok=True)
    save_perceptual(folder, distance)


if __name__ == "__main__":
    main()
