"""Scenes to learn from."""

from itertools import islice

import numpy as np
import pytest
import torch

from testbed.latents import draw_stream
from testbed.recipes import heads64
from testbed.recipes import recipe as recipes
from testbed.recipes.recipe import BATCH, TRAINING_SEED, batches


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "CHUNK", 2 * BATCH)


def test_each_scene_of_the_stream_is_seen_once():
    seen = torch.cat([lesson.latents for lesson in islice(batches(heads64.RECIPE, 100), 3)])
    wanted = draw_stream(TRAINING_SEED, 100, 3 * BATCH, heads64.RECIPE.config.z_dim)
    assert np.array_equal(seen.numpy(), wanted)
