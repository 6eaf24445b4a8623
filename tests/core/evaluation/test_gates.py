"""When a dataset drawn again counts as the same."""

import numpy as np
import pytest

from core.evaluation.gates import Regeneration, regenerates, rounded_share

STORED = np.full((20, 20, 3), 100, np.uint8)


def changed(pixels: int, levels: int = 1) -> np.ndarray:
    drawn = STORED.copy()
    drawn.reshape(-1, 3)[:pixels, 1] += np.uint8(levels)
    return drawn


@pytest.mark.parametrize(("drawn", "share"), [(changed(0), 0.0), (changed(1), 0.0025), (changed(4), 0.01)])
def test_one_level_in_one_percent_of_pixels_is_rounding(drawn: np.ndarray, share: float) -> None:
    assert rounded_share(drawn, STORED) == pytest.approx(share)
    assert rounded_share(STORED, drawn) == pytest.approx(share)


@pytest.mark.parametrize("drawn", [changed(5), changed(1, levels=2), changed(1, levels=255 - 100), STORED[:10]])
def test_more_than_one_level_or_one_percent_of_pixels_is_a_difference(drawn: np.ndarray) -> None:
    assert rounded_share(drawn, STORED) is None
    assert rounded_share(STORED, drawn) is None


def test_gate_allows_rounding_and_states_how_many_images_it_meets() -> None:
    gate = regenerates(Regeneration(32, 0, 0, images_rounded=5, rounded_share=0.0031))
    assert gate.state == "passed"
    assert "5 images differ by one level in up to 0.31 % of their pixels" in gate.words
    assert gate.numbers["images_rounded"] == 5
    assert regenerates(Regeneration(32, 0, 0)).words == (
        "32 samples drawn again from their latents are the same to the last pixel."
    )


@pytest.mark.parametrize("found", [Regeneration(32, 1, 0, 5, 0.01), Regeneration(32, 0, 1, 5, 0.01)])
def test_gate_fails_where_an_image_or_a_label_differs(found: Regeneration) -> None:
    gate = regenerates(found)
    assert gate.state == "failed"
    assert "labels differ" in gate.words
