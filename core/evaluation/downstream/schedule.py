"""Training steps of a recipe by the size of the dataset. Torch-free."""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil

from core.evaluation.downstream.config import PRESETS, DownstreamConfig

EPOCHS: Mapping[str, float] = {"handsoff": 20.0}
"""Times that a preset shows each image of the dataset, as HandsOff's released code does; its steps are those of 9,000
images."""
LEAST_EPOCHS: Mapping[str, float] = {"small": 10.0}
"""Presets whose steps are meant for small datasets: larger ones take more, to show each image so many times."""


def recipe_for(preset: str, images: int) -> DownstreamConfig:
    """Return the recipe of a preset for a dataset of so many images. All arms of a comparison take as many steps,
    whatever they are trained on.
    """
    recipe = PRESETS[preset]
    if preset in LEAST_EPOCHS:
        return replace(recipe, steps=max(recipe.steps, ceil(LEAST_EPOCHS[preset] * images / recipe.batch)))
    if preset not in EPOCHS:
        return recipe
    epoch = max(1, images // recipe.batch)  # the last short batch is skipped
    return replace(recipe, steps=ceil(EPOCHS[preset] * epoch), validate_every=epoch)
