"""A street's code says what stands where, and nothing where nothing stands."""

import numpy as np

from testbed.recipes.street_codes import shaped_street_codes, street_code_size
from testbed.streets import draw_latents, street_parameters


def test_codes_are_finite_small_and_of_the_stated_size():
    latents = draw_latents(1, 0, 16)
    codes = shaped_street_codes(latents, street_parameters(latents))
    assert codes.shape == (16, street_code_size())
    assert codes.dtype == np.float32
    assert np.isfinite(codes).all()
    assert np.abs(codes).max() < 12
    assert len(np.unique(codes, axis=0)) == 16


def test_where_nothing_stands_its_place_and_colour_are_not_told():
    latents = draw_latents(1, 0, 1)
    here, elsewhere = street_parameters(latents), street_parameters(latents)
    for p in (here, elsewhere):
        p["person"] = np.zeros_like(p["person"])
    elsewhere["person_place"] = 1 - here["person_place"]
    elsewhere["person_height"] = here["person_height"] + 0.1
    assert np.array_equal(shaped_street_codes(latents, here), shaped_street_codes(latents, elsewhere))
