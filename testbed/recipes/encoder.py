"""Make the encoder of a shipped generator from its own samples and rendered scenes; it never sees render parameters.

python -m testbed.recipes.encoder --world heads --steps 5000
"""

import argparse
import json
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from core.generators.files import shipped_generators
from core.image_arrays import to_bytes
from core.inversion.encoder import Encoder, load_encoder, save_encoder
from core.inversion.perceptual.choice import choose_perceptual
from core.run import Run
from core.training.config import EncoderTrainingConfig
from core.training.encoder import train_encoder
from testbed.recipes import heads64, streets64
from testbed.recipes.crew import Crew, together
from testbed.recipes.recipe import TRAINING_SEED, Recipe
from testbed.shipped import load_stylegan2

IMAGES = 8
FIRST = 9_000_000  # far from the scenes that the generator sees
_POOL = 2048
RECIPES = {"heads": heads64.RECIPE, "streets": streets64.RECIPE}


class RenderedScenes:
    """Source of real images for training: `(step, count) → uint8 [count, 3, 64, 64]`, the same for the same step.

    Rare things are as often in them as in what the generator practises on: where they are not reconstructed, no label
    of them is useful.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.pool_index = -1
        self.pool = torch.empty(0)

    def __call__(self, step: int, count: int) -> Tensor:
        at = step * IMAGES  # not count: it varies from step to step, and the pool would be rendered again and again
        if at // _POOL != self.pool_index:
            self.pool_index = at // _POOL
            random = np.random.default_rng([TRAINING_SEED, FIRST + self.pool_index])
            latents = random.permutation(self.recipe.practice(random, _POOL + IMAGES))
            self.pool = to_bytes(self.recipe.scenes(latents).images)
        return self.pool[at % _POOL : at % _POOL + count]


def _train(_: Crew, name: str, steps: int, again: bool) -> None:
    """Train, or go on training, and write the encoder beside the generator."""
    recipe = RECIPES[name]
    folder = shipped_generators()[recipe.name]
    generator = load_stylegan2(folder).bind()
    # Never unlocked: the generator was taught on W alone, and labels transfer best from codes that stay there.
    config = EncoderTrainingConfig(
        steps=steps, samples=24, samples_drawn=4, images=IMAGES, latent_weight=3.0,
        unlock_from=1.0, unlock_until=1.0,
    )  # fmt: skip
    checkpoint = recipe.state.with_name("encoder.pt")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    shipped = load_encoder(folder) if again else None
    assert shipped is None or isinstance(shipped, Encoder)
    training = train_encoder(
        generator, choose_perceptual(folder, None), RenderedScenes(recipe), config,
        encoder_config=shipped.config if shipped else None, begin_with=shipped, checkpoint=checkpoint,
        run=Run(log=lambda line: print(json.dumps(line), flush=True)),
    )  # fmt: skip
    save_encoder(folder, training.encoder, {"training": asdict(config), "again": again, "curve": training.curve[-40:]})


def main() -> None:
    """Read the command and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--again", action="store_true", help="begin with the shipped encoder")
    parser.add_argument("--world", choices=sorted(RECIPES), default="heads")
    given = parser.parse_args()
    together(1, _train, given.world, given.steps, given.again)


if __name__ == "__main__":
    main()
