"""Make the perceptual network of a shipped generator from rendered scenes, without any label.

    python -m testbed.recipes.perceptual --world heads --steps 6000

It comes before the generator, which is taught with it. The training is that of `core.training.perceptual`.
"""

import argparse
import json

import torch
from torch import Tensor

from core.image_arrays import as_tensor
from core.inversion.perceptual.domain import save_perceptual
from core.run import Run
from core.training.perceptual import train_perceptual
from core.training.perceptual_config import PerceptualTrainingConfig
from testbed.recipes.recipe import TRAINING_SEED
from testbed.recipes.shipping import SHIPPED
from testbed.worlds import WORLDS, World

FIRST = 5_000_000  # far from the scenes that the generator sees in the same stream
SIZE = (64, 64)
_POOL = 1024


class RenderedPictures:
    """Source of images for training: `(step, count) → uint8 [count, 3, 64, 64]`, the same for the same step."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pool_index = -1
        self.pool = torch.empty(0)

    def __call__(self, step: int, count: int) -> Tensor:
        at = step * count
        if at // _POOL != self.pool_index:
            self.pool_index = at // _POOL
            first = FIRST + self.pool_index * _POOL
            self.pool = as_tensor(self.world.labelled(TRAINING_SEED, _POOL + count, first).images)
        return self.pool[at % _POOL : at % _POOL + count]


def main() -> None:
    """Train and write the network beside the generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--world", choices=sorted(WORLDS), default="heads")
    given = parser.parse_args()
    world = WORLDS[given.world]
    trained = train_perceptual(
        f"{world.generator}-repair-v1", None, RenderedPictures(world), PerceptualTrainingConfig(steps=given.steps),
        size=SIZE, run=Run(log=lambda line: print(json.dumps(line), flush=True)),
    )  # fmt: skip
    folder = SHIPPED / world.generator
    folder.mkdir(parents=True, exist_ok=True)
    save_perceptual(folder, trained.perceptual)


if __name__ == "__main__":
    main()
