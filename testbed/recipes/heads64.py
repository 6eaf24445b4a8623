"""Make the shipped generator `heads64`: teach a StyleGAN2 to draw the world's heads.

    python -m testbed.recipes.heads64 draw --minutes 60

The phases, their order and how they resume are those of `testbed.recipes.teaching`. A face is 3 % of the pixels, so
small parts weigh more in the loss. A head's surface is its normals, where it is, its hair's stripes as if all hair had
them, and where the ball hangs: what else a picture only hints at, now and then.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from core.generators.stylegan2.config import StyleGAN2Config
from testbed.recipes.codes import CODE_SIZE, shaped_codes
from testbed.recipes.mapping import gaussian
from testbed.recipes.recipe import Recipe, Scenes, scenes_of
from testbed.recipes.teaching import main
from testbed.world import CLASS_NAMES, LATENT_COUNT, head_parameters, render
from testbed.world.hints import ball, strands

# By class id: background, skin, hair, eyes, brows, nose, mouth, ears, glasses, hat; and the ball, in masks background.
PART_WEIGHTS = torch.tensor([0.7, 1.3, 3.0, 5.0, 5.0, 3.0, 5.0, 3.0, 7.0, 3.0, 3.0])


def heads(latents: NDArray[np.float32]) -> Scenes:
    """The heads of latents."""
    parameters = head_parameters(latents)
    seen = render(parameters)
    hidden = ball(parameters)
    classes = np.where(hidden, len(CLASS_NAMES), seen.masks)
    planes = [seen.depth > 0, *strands(parameters, seen), hidden]
    return scenes_of(latents, shaped_codes(latents, parameters), seen, classes, PART_WEIGHTS, planes)


def codes(latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """The codes of latents."""
    return shaped_codes(latents, head_parameters(latents))


def practice(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Latents of which half show glasses or a hat, twice as many as in the world: they are learnt last of all."""
    latents = gaussian(LATENT_COUNT)(random, 3 * count)
    parameters = head_parameters(latents)
    rare = (parameters["glasses"] > 0) | (parameters["hat"] > 0)
    wanted = min(count // 2, int(rare.sum()))
    return np.concatenate([latents[rare][:wanted], latents[~rare][: count - wanted]])


RECIPE = Recipe(
    name="heads64",
    domain="rendered heads, 64×64, from the project's own testbed",
    config=StyleGAN2Config(
        resolution=(64, 64),
        channels={0: 256, 1: 160, 2: 96, 3: 64, 4: 32},
        z_dim=LATENT_COUNT,
        w_dim=512,
        mapping_layers=8,
    ),
    code_size=CODE_SIZE,
    codes=codes,
    scenes=heads,
    surface=8,
    practice=practice,
)


if __name__ == "__main__":
    main(RECIPE, __doc__)
