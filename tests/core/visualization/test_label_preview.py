"""The preview of labelled images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from core.label_sets.classes import ClassMap
from core.label_sets.label_set import LabelItem, LabelSet
from core.label_sets.palette import colours
from core.visualization.label_preview import label_preview
from tests.core.datasets.archives import photograph

CLASSES = ClassMap({0: "background", 1: "head"})


def seen(label_set: LabelSet) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(label_preview(label_set))).convert("RGB")).reshape(-1, 3)


def test_the_label_lies_over_the_image() -> None:
    mask = np.ones((40, 50), np.uint8)
    item = LabelItem("a", np.zeros((40, 50, 3), np.uint8), mask)
    tinted = np.rint(0.55 * colours(CLASSES)[1]).astype(int)
    assert (seen(LabelSet((item,), CLASSES, "zip of COCO")) == tinted).all(1).sum() >= 40 * 50


def test_keypoints_are_rings() -> None:
    points = np.array([[10, 10, 2], [30, 20, 1], [0, 0, 0]], np.float32)
    item = LabelItem("a", np.zeros((40, 50, 3), np.uint8), np.full((40, 50), 255, np.uint8), points)
    pixels = seen(LabelSet((item,), ClassMap({}), "zip"))
    assert (pixels == (255, 60, 60)).all(1).any()
    assert (pixels == (60, 120, 255)).all(1).any()


def test_large_photographs_make_a_small_picture() -> None:
    item = LabelItem("a", photograph(1, 3000, 2000), np.zeros((3000, 2000), np.uint8))
    assert len(label_preview(LabelSet((item,) * 30, CLASSES, "tar"))) < 4_000_000
