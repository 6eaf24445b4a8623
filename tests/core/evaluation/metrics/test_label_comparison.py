"""Real against generated, by hand: pairs of classes, keypoints, depth, and features whose weights are absent."""

import numpy as np
import pytest

from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.networks import build_network
from core.evaluation.downstream.training import Trained
from core.evaluation.metrics.extractors import Extractor
from core.evaluation.metrics.label_comparison import (
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


def test_distances_by_class_are_those_of_the_images_that_show_it():
    random = np.random.default_rng(0)
    real, generated = (random.integers(0, 256, (count, 8, 8, 3), np.uint8) for count in (20, 30))
    mean = Extractor("mean", lambda images: images.double().mean((2, 3)))
    shows = np.zeros((20, 2), bool), np.zeros((30, 2), bool)
    shows[0][:10, 0] = shows[1][::2, 0] = True
    found = image_distances(mean, real, generated, shows)
    alone = image_distances(mean, real[:10], generated[::2])
    assert found["fid_by_class"] == [pytest.approx(alone["fid"]), None]


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
