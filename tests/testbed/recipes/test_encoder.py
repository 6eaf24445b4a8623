"""The source of rendered scenes answers alike for a step, and does not render anew at every step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from testbed.recipes import encoder
from testbed.recipes.encoder import RenderedScenes
from testbed.recipes.heads64 import RECIPE
from testbed.recipes.recipe import Recipe, Scenes


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[Recipe, list[int]]:
    """A recipe that counts the scenes that were rendered, call by call; pools are small."""
    calls: list[int] = []

    def scenes(latents: NDArray[np.float32]) -> Scenes:
        calls.append(len(latents))
        return RECIPE.scenes(latents)

    monkeypatch.setattr(encoder, "_POOL", 64)
    return replace(RECIPE, scenes=scenes), calls


def test_steps_in_a_row_share_a_pool_however_many_scenes_they_take(counted: tuple[Recipe, list[int]]) -> None:
    recipe, calls = counted
    source = RenderedScenes(recipe)
    taken = [source(step, count) for step, count in enumerate((16, 3, 4, 2))]
    assert [len(images) for images in taken] == [16, 3, 4, 2]
    assert len(calls) == 1


def test_a_step_is_given_the_same_scenes_whatever_was_asked_before(counted: tuple[Recipe, list[int]]) -> None:
    recipe, _ = counted
    source = RenderedScenes(recipe)
    source(2, 16)
    assert torch.equal(source(9, 3), RenderedScenes(recipe)(9, 16)[:3])
