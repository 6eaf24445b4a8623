"""What teachers are told beside the picture, held against the picture."""

import numpy as np

from testbed.world import CLASS_NAMES, draw_latents, head_parameters, render
from testbed.world.hints import ball, projected_outlines, strands


def test_a_hat_ends_where_the_outlines_of_its_solids_do() -> None:
    p = head_parameters(draw_latents(3, 0, 400))
    wide = {name: value[p["hat"] == 2] for name, value in p.items()}  # a brim all around, which nothing hides
    outlines, masks = projected_outlines(wide)[:, -4:], render(wide).masks  # the dome, then the brims
    assert len(masks) > 5
    x, half = outlines[..., 0], outlines[..., 2]
    left = np.where(half > 0, 32 * (1 + x - half), 64).min(1)
    right = np.where(half > 0, 32 * (1 + x + half), 0).max(1)
    hats = (masks == CLASS_NAMES.index("hat")).any(axis=1)  # [N, columns]
    first, last = hats.argmax(1), 64 - hats[:, ::-1].argmax(1)
    np.testing.assert_allclose(first, left.clip(0), atol=1.0)
    np.testing.assert_allclose(last, right.clip(max=64), atol=1.0)


def test_absent_solids_have_no_outline() -> None:
    p = head_parameters(draw_latents(3, 0, 100))
    bald = {name: value[(p["hair_style"] == 0) & (p["hat"] == 0)] for name, value in p.items()}
    assert not projected_outlines(bald).any()
    assert projected_outlines(p).any(axis=(1, 2)).mean() > 0.8


def test_strands_are_what_stripes_add_to_hair_and_nothing_else_has_them() -> None:
    p = head_parameters(draw_latents(5, 0, 60))
    hairy = {name: value[p["hair_style"] > 0] for name, value in p.items()}
    count = len(hairy["yaw"])
    plain = render(hairy | {"hair_stripes": np.zeros(count)})
    striped = render(hairy | {"hair_stripes": np.full(count, 0.25)})
    told, *wide = strands(hairy, plain)
    hair = plain.masks == CLASS_NAMES.index("hair")
    assert not told[~hair].any()
    assert np.allclose(np.sin(3 * np.arctan2(*wide)), told, atol=1e-5)
    assert 0.95 < np.abs(told).max() <= 1
    before, after = plain.images.max(3).astype(float), striped.images.max(3).astype(float)
    clear = hair & (before > 80) & (after < 250)  # bytes are coarse in the dark, and too much light is cut off
    assert clear.sum() > 2000
    added = (after / np.maximum(before, 1) - 1)[clear] / 0.25
    assert np.corrcoef(added, told[clear])[0, 1] > 0.9  # told at a pixel's middle, drawn as the mean of its rays


def test_the_ball_is_where_a_picture_with_it_differs_from_one_without() -> None:
    p = head_parameters(draw_latents(5, 0, 60))
    there, gone = render(p | {"occluder": np.ones(60)}), render(p | {"occluder": np.zeros(60)})
    differs = (there.images != gone.images).any(axis=3)
    told = ball(p | {"occluder": np.ones(60)})
    assert told.any(axis=(1, 2)).all()
    assert (differs == told).mean() > 0.985  # but for pixels on its rim
    assert not ball(p | {"occluder": np.zeros(60)}).any()
