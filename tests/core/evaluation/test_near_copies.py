"""Copies of images that were encoded or resized again are found; other images, however similar, are not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.evaluation.near_copies import near_copies

Picture = NDArray[np.uint8]


def scene(seed: int, side: int, moved: float = 0.0) -> Picture:
    """A scene of textured shapes on a gradient; ``moved`` shifts the shapes by this share of the side."""
    draw = np.random.default_rng(seed)
    large = 2 * side
    grid = np.linspace(0, 1, large)
    colours = draw.uniform(30, 220, (2, 3))
    base = colours[0] + (colours[1] - colours[0]) * grid[:, None, None] + 20 * np.sin(9 * grid)[None, :, None]
    image = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))
    pencil = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = draw.uniform(0, large, 2) + moved * large
        width, height = draw.uniform(large / 20, large / 4, 2)
        pencil.ellipse([x, y, x + width, y + height], fill=tuple(int(v) for v in draw.uniform(0, 255, 3)))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def jpeg(quality: int) -> Callable[[Picture], Picture]:
    def encode(image: Picture) -> Picture:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file).convert("RGB"))

    return encode


def resized(factor: float, quality: int | None = None) -> Callable[[Picture], Picture]:
    def resize(image: Picture) -> Picture:
        height, width = image.shape[:2]
        between = Image.fromarray(image).resize((int(width * factor), int(height * factor)), Image.Resampling.BICUBIC)
        if quality is not None:
            between = Image.fromarray(jpeg(quality)(np.asarray(between)))
        return np.asarray(between.resize((width, height), Image.Resampling.BILINEAR))

    return resize


def webp(image: Picture) -> Picture:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", quality=80)
    return np.asarray(Image.open(file).convert("RGB"))


SMALL = [jpeg(90), jpeg(75), resized(0.75), resized(2), resized(2, 75), webp]
LARGE = [*SMALL, jpeg(50), resized(0.5), resized(0.75, 50)]


@pytest.mark.parametrize(("side", "changes"), [(64, SMALL), (128, LARGE), (256, LARGE)])
def test_copies_encoded_or_resized_again_are_found(side: int, changes: list[Callable[[Picture], Picture]]) -> None:
    originals = [scene(seed, side) for seed in range(8)]
    for change in changes:
        copies = [change(image) for image in reversed(originals)]
        assert near_copies(copies, originals) == {index: 7 - index for index in range(8)}
    assert near_copies(originals, originals) == {index: index for index in range(8)}


@pytest.mark.parametrize("side", [64, 128, 256])
def test_merely_similar_images_are_not_copies(side: int) -> None:
    originals = [scene(seed, side) for seed in range(8)]
    others = [scene(seed, side) for seed in range(100, 108)]
    moved = [scene(seed, side, moved=0.02) for seed in range(8)]
    brighter = [np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8) for image in originals]
    patched = [image.copy() for image in originals]
    for image in patched:
        image[side // 2 : side * 3 // 4, side // 2 : side * 3 // 4] //= 2
    for similar in (others, moved, brighter, patched):
        assert near_copies(similar, originals) == {}


def test_even_images_are_copies_of_their_own_shade_alone() -> None:
    shades = [np.full((64, 64, 3), value, np.uint8) for value in (100, 101, 140)]
    assert near_copies([shades[0]], shades) == {0: 0}
    assert near_copies([np.full((64, 64, 3), 103, np.uint8)], shades) == {}


def test_images_of_odd_and_very_small_sizes_are_compared() -> None:
    for height, width in ((9, 7), (37, 61), (4, 4), (130, 199)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        assert near_copies([image, 255 - image], [image]) == {0: 0}
    assert near_copies([], []) == {}
