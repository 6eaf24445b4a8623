"""What heads64 learns from."""

import numpy as np

from testbed.recipes.heads64 import practice
from testbed.world import head_parameters


def test_half_of_the_practice_shows_something_rare():
    latents = practice(np.random.default_rng(0), 400)
    parameters = head_parameters(latents)
    rare = (parameters["glasses"] > 0) | (parameters["hat"] > 0)
    assert latents.shape == (400, 123)
    assert rare.sum() == 200
    assert not np.array_equal(latents, practice(np.random.default_rng(1), 400))
