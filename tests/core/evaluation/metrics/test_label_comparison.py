"""Real against generated, by hand: pairs of classes, keypoints, depth, and features whose weights are absent."""

import numpy as np
import pytest

from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.networks import build_network
from core.evaluation.downstream.training import Trained
from core.evaluation.metrics.extractors import Extractor
from core.evaluation.metrics.label_comparison import (
    MaskPair,
    depth_statistics,
    extractors,
    image_distances,
    mask_statistics,
    point_statistics,
    small,
)
from core.evaluation.metrics.published_weights import PublishedWeights
from core.label_sets.classes import ClassMap

CLASSES = ClassMap({0: "ground", 1: "cat", 2: "dog"})


def test_pairs_of_classes_that_are_drawn_together_differently_come_first():
    both, cat, dog = ([[0, 1], [1, 2]], [[0, 1], [1, 1]], [[0, 2], [2, 2]])
    found, real, generated = mask_statistics(
        np.array([both, both, cat, dog], np.uint8), np.array([cat, dog], np.uint8), CLASSES
    )
    assert found["together"][0] == {"classes": ["cat", "dog"], "real": 0.5, "generated": 0.0}
    assert (real.images, generated.images) == (4, 2)
    dogs = found["classes"][2]
    assert (dogs["real_images"], dogs["generated_images"]) == (0.75, 0.5)
    assert dogs["generated_range"] == pytest.approx([0.0945, 0.9055], abs=1e-4)  # Wilson, 1 of 2


def test_points_and_depth():
    points = np.zeros((4, 2, 3), np.float32)
    points[:3, 0, 2] = 2
    assert point_statistics(points, points[3:], ["eye", "ear"]) == [
        {"name": "eye", "real": 0.75, "generated": 0.0},
        {"name": "ear", "real": 0.0, "generated": 0.0},
    ]
    depth = np.arange(101, dtype=np.float32).reshape(1, 1, 101)  # 0 is unknown
    rows = depth_statistics(depth, np.zeros_like(depth))
    assert [row["real"] for row in rows] == pytest.approx([5.95, 50.5, 95.05])
    assert [row["generated"] for row in rows] == [None] * 3


MEAN = Extractor("mean", lambda images: images.double().mean((2, 3)))


def images_and_masks(count: int, seed: int, shown: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images; cats in the upper half of the first ``shown``, background elsewhere."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    masks = np.zeros((count, 8, 8), np.uint8)
    masks[:shown, :4] = 1
    return images, masks


def test_distances_by_class_are_those_of_the_images_that_show_it():
    (real, one), (generated, other) = images_and_masks(20, 0, 10), images_and_masks(30, 1, 15)
    found = image_distances(MEAN, real, generated, MaskPair(one, other, CLASSES))
    alone = image_distances(MEAN, real[:10], generated[:15])
    ground, cat, dog = found["by_class"]
    assert (ground["fid"], ground["kid"]) == pytest.approx((found["fid"], found["kid"]))
    assert (cat["name"], cat["real"], cat["generated"], cat["fid"]) == ("cat", 10, 15, pytest.approx(alone["fid"]))
    assert (dog["real"], dog["fid"], dog["kid"]) == (0, None, None)
    assert "dog (0 real, 0 generated)" in found["notes"][-1]
    assert "background_masked" not in found  # no class is named background


def test_distances_with_background_masked_depend_on_the_foreground_alone():
    classes = ClassMap({0: "Background", 1: "cat"})
    (real, one), (generated, other) = images_and_masks(20, 0, 20), images_and_masks(30, 1, 15)
    found = image_distances(MEAN, real, generated, MaskPair(one, other, classes))["background_masked"]
    changed = real.copy()
    changed[:, 4:] = 7
    again = image_distances(MEAN, changed, generated, MaskPair(one, other, classes))
    assert again["background_masked"]["fid"] == found["fid"]
    grey = [images.copy() for images in (real, generated)]
    for images, masks in zip(grey, (one, other), strict=True):
        images[masks == 0] = 128
    by_hand = image_distances(MEAN, *grey)
    assert (found["fid"], found["recall"]) == (by_hand["fid"], by_hand["recall"])
    assert found["by_class"][1]["fid"] == image_distances(MEAN, grey[0], grey[1][:15])["fid"]


def test_pixels_of_a_class_are_counted_without_background_as_well():
    masks = np.array([[[0, 0, 0, 1], [0, 0, 1, 2]]], np.uint8)
    found, _, _ = mask_statistics(masks, masks, ClassMap({0: "background", 1: "cat", 2: "dog"}))
    ground, cat, dog = found["classes"]
    assert (cat["real_pixels"], cat["real_foreground"]) == (0.25, pytest.approx(2 / 3))
    assert dog["generated_foreground"] == pytest.approx(1 / 3)
    assert ground["real_foreground"] is None
    without, _, _ = mask_statistics(masks, masks, CLASSES)
    assert without["classes"][1]["real_foreground"] is None


def test_what_has_no_weights_is_named():
    net = Trained(build_network(DownstreamConfig(width=4), 2), 2)
    found, absent = extractors(net, 5, PublishedWeights(), "cpu")
    assert [one.name for one in found] == ["domain (5 real images with labels)"]
    assert absent == ["inception", "clip", "dinov2"]


def test_large_images_are_made_small_and_small_ones_left():
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    found = small(lambda pick: images[pick], 3)
    assert found.shape == (3, 64, 64, 3)
    assert found[1, 0, 0] == pytest.approx(images[1, :2, :2].mean((0, 1)), abs=0.51)
    assert np.array_equal(small(lambda pick: images[pick, :32, :32], 3), images[:, :32, :32])
