"""Scenes to learn from."""

import pickle
from itertools import islice

import numpy as np
import pytest
import torch

from testbed.recipes import heads64, streets64
from testbed.recipes import recipe as recipes
from testbed.recipes.recipe import BATCH, TIMES, Recipe, batches
from testbed.world import head_parameters


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "CHUNK", 2 * BATCH)


def _latents(seen: int, rank: int = 0, size: int = 1, count: int = 4) -> torch.Tensor:
    return torch.cat([scenes.latents for scenes in islice(batches(heads64.RECIPE, seen, rank, size), count)])


def test_every_scene_is_seen_twice_in_another_order_and_then_never_again() -> None:
    alone = _latents(100, count=8)
    scenes, times = alone.unique(dim=0, return_counts=True)
    assert len(scenes) == 4 * BATCH
    assert (times == TIMES).all()
    first, again = alone[: 2 * BATCH], alone[2 * BATCH : 4 * BATCH]
    assert torch.equal(first.unique(dim=0), again.unique(dim=0))
    assert not torch.equal(first, again)
    assert torch.equal(alone, _latents(100, count=8)), "a run that is repeated sees the same"
    pair = torch.cat([_latents(100, rank, 2) for rank in (0, 1)])
    assert torch.equal(pair, alone), "ranks share the scenes out"
    assert len(torch.cat([alone, _latents(100 + 8 * BATCH)]).unique(dim=0)) == 6 * BATCH


@pytest.mark.parametrize("recipe", [heads64.RECIPE, streets64.RECIPE], ids=lambda recipe: recipe.name)
def test_a_recipe_can_be_handed_to_another_process(recipe: Recipe) -> None:
    there = pickle.loads(pickle.dumps(recipe))
    latents = there.practice(np.random.default_rng(0), 2)
    assert np.array_equal(latents, recipe.practice(np.random.default_rng(0), 2))
    assert torch.equal(there.scenes(latents).images, recipe.scenes(latents).images)


def test_rare_things_are_practised_in_every_batch() -> None:
    p = head_parameters(_latents(0, count=8).numpy())
    rare = ((p["glasses"] > 0) | (p["hat"] > 0)).reshape(8, BATCH)
    assert 0.3 < rare.mean() < 0.6
    assert (rare.any(axis=1) & ~rare.all(axis=1)).all()
