"""Examples for a preview: the widest, the tallest, and others at random."""

from __future__ import annotations

from core.run import Run
from core.training.image_sources.examples import choose_examples
from core.training.images import SourceImage
from tests.core.training.test_images import encoded, picture


def test_the_widest_and_the_tallest_image_are_among_the_examples() -> None:
    heights = [10, 12, 40, 11, 30, 13, 5, 14, 15]
    images = [
        SourceImage(f"{height}.png", encoded(picture(height, height, 20)) if height != 12 else b"no picture")
        for height in heights
    ]
    chosen = choose_examples(images, 4, Run(seed=3))
    names = [one.name for one in chosen]
    assert (names[0], names[-1], len(names)) == ("5.png", "40.png", 4)
    assert names == sorted(names, key=lambda name: int(name.removesuffix(".png")))
    assert chosen[0].pixels.shape == (5, 20, 3)
    assert [one.name for one in choose_examples(images, 4, Run(seed=3))] == names
    assert len(choose_examples(images[:2], 4)) == 1
    assert choose_examples([SourceImage("a.png", b"x")], 4) == []
