"""Galleries show the samples with most of a class, and hold little while they look."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from core.datasets.class_gallery import SHOWN, Galleries, gallery_path
from core.datasets.samples import StoredSample, encode_sample
from core.label_sets.classes import ClassMap
from core.label_sets.palette import colours

CLASSES = ClassMap({0: "background", 1: "Sun hat!", 2: "漢"})


def samples(count: int) -> Iterator[StoredSample]:
    for index in range(count):
        mask = np.zeros((32, 32), np.uint8)
        mask.flat[: 10 * index] = 1
        image = np.full((32, 32, 3), index, np.uint8)
        latent = np.zeros((1, 1), np.float32)
        record = {"index": index, "uncertainty": 1.0}
        yield StoredSample(index, encode_sample(image, mask, latent, record, colours(CLASSES)))


def test_those_with_most_pixels_are_shown() -> None:
    galleries = Galleries(CLASSES)
    for sample in samples(30):
        galleries.add(sample)
    made = dict(galleries.pictures())
    assert set(made) == {"galleries/000-background.png", "galleries/001-sun-hat.png"}, "nothing shows class 2"
    picture = np.array(Image.open(io.BytesIO(made["galleries/001-sun-hat.png"])).convert("RGB")).reshape(-1, 3)
    greys = {int(one[0]) for one in np.unique(picture, axis=0) if one[0] == one[1] == one[2]}
    assert set(range(30 - SHOWN, 30)) <= greys
    assert not {3, 5, 9} & greys
    assert made == dict(galleries.pictures())


def test_large_samples_are_held_small() -> None:
    galleries = Galleries(ClassMap({0: "background", 1: "other"}))
    mask = np.zeros((600, 400), np.uint8)
    files = encode_sample(
        np.zeros((600, 400, 3), np.uint8),
        mask,
        np.zeros((1, 1), np.float32),
        {"index": 0, "uncertainty": 0},
        colours(CLASSES),
    )
    galleries.add(StoredSample(0, files))
    (entry,) = galleries._best[0]
    assert entry[2].mask.shape == (150, 100)
    assert entry[2].mask.base is None


def test_paths_are_plain() -> None:
    assert gallery_path(2, "漢") == "galleries/002.png"
    assert gallery_path(7, "../a b") == "galleries/007-a-b.png"
