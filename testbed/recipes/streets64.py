"""Make the generator `streets64`: teach a small StyleGAN2 to draw the streets of `testbed.streets`.

    python -m testbed.recipes.streets64 draw --minutes 60

The phases, their order and how they resume are those of `testbed.recipes.teaching`. Beside its normals a street's
surface tells how near it is.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from core.generators.stylegan2.config import StyleGAN2Config
from testbed.recipes.mapping import gaussian
from testbed.recipes.recipe import Recipe, Scenes, scenes_of
from testbed.recipes.street_codes import shaped_street_codes, street_code_size
from testbed.recipes.teaching import main
from testbed.streets import LATENT_COUNT, render, street_parameters

# By class id: road, building, sky, vegetation, pavement, vehicle, pole, person, sign.
PART_WEIGHTS = torch.tensor([0.8, 1.0, 0.6, 1.2, 1.2, 2.0, 3.0, 5.0, 4.0])


def streets(latents: NDArray[np.float32]) -> Scenes:
    """The streets of latents."""
    parameters = street_parameters(latents)
    seen = render(parameters)
    near = np.where(seen.depth > 0, 4 / (2 + seen.depth), 0)
    return scenes_of(latents, shaped_street_codes(latents, parameters), seen, seen.masks, PART_WEIGHTS, [near])


def codes(latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """The codes of latents."""
    return shaped_street_codes(latents, street_parameters(latents))


RECIPE = Recipe(
    name="streets64",
    domain="rendered streets, 64×64, from the project's own testbed",
    config=StyleGAN2Config(
        resolution=(64, 64), channels={0: 192, 1: 128, 2: 72, 3: 40, 4: 20}, z_dim=LATENT_COUNT, w_dim=320,
        mapping_layers=6,
    ),
    code_size=street_code_size(),
    codes=codes,
    scenes=streets,
    surface=4,
    practice=gaussian(LATENT_COUNT),
)  # fmt: skip


if __name__ == "__main__":
    main(RECIPE, __doc__)
