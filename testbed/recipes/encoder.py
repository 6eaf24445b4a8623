"""Make the encoder of a shipped generator from its own samples and rendered scenes; it never sees render parameters.

python -m testbed.recipes.encoder --world heads --steps 5000
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from core.generators.files import load_generator, shipped_generators
from core.inversion.encoder import load_encoder, save_encoder
from core.inversion.perceptual import choose_perceptual
from core.pixels import as_tensor
from core.training.config import EncoderTrainingConfig
from core.training.encoder import train_encoder
from testbed.recipes.recipe import TRAINING_SEED
from testbed.worlds import WORLDS, World

IMAGES = 8
FIRST = 9_000_000  # far from the scenes that the generator sees in the same stream
_POOL = 2048


class RenderedScenes:
    """Source of real images for training: `(step, count) → uint8 [count, 3, 64, 64]`, the same for the same step."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pool_index = -1
        self.pool = torch.empty(0)

    def __call__(self, step: int, count: int) -> Tensor:
        at = step * IMAGES  # not count: it varies from step to step, and the pool would be rendered again and again
        if at // _POOL != self.pool_index:
            self.pool_index = at // _POOL
            first = FIRST + self.pool_index * _POOL
            self.pool = as_tensor(self.world.labelled(TRAINING_SEED, _POOL + IMAGES, first).images)
        return self.pool[at % _POOL : at % _POOL + count]


def main() -> None:
    """Train, or go on training, and write the encoder beside the generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--again", action="store_true", help="begin with the shipped encoder")
    parser.add_argument("--world", choices=sorted(WORLDS), default="heads")
    given = parser.parse_args()
    world = WORLDS[given.world]
    folder = shipped_generators()[world.generator]
    generator = load_generator(folder).network
    # Never unlocked: the generator was taught on W alone, and labels transfer best from codes that stay there.
    config = EncoderTrainingConfig(
        steps=given.steps, samples=24, samples_drawn=4, images=IMAGES, latent_weight=3.0, noise="none",
        unlock_from=1.0, unlock_until=1.0,
    )  # fmt: skip
    checkpoint = Path("out") / world.generator / "encoder.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    shipped = load_encoder(folder) if given.again else None
    training = train_encoder(
        generator, choose_perceptual(folder, None), RenderedScenes(world), config,
        encoder_config=shipped.config if shipped else None, begin_with=shipped, checkpoint=checkpoint,
        log=lambda line: print(json.dumps(line), flush=True),
    )  # fmt: skip
    save_encoder(
        folder, training.encoder, {"training": asdict(config), "again": given.again, "curve": training.curve[-40:]}
    )


if __name__ == "__main__":
    main()
