"""The teacher's codes have the size that they claim, and change where a head changes."""

import numpy as np

from testbed.recipes.codes import CODE_SIZE, shaped_codes
from testbed.world import draw_latents, head_parameters


def test_codes_are_finite_and_of_the_stated_size():
    latents = draw_latents(1, 0, 16)
    codes = shaped_codes(latents, head_parameters(latents))
    assert codes.shape == (16, CODE_SIZE)
    assert codes.dtype == np.float32
    assert np.isfinite(codes).all()
    assert np.abs(codes).max() < 12
    assert len(np.unique(codes, axis=0)) == 16
