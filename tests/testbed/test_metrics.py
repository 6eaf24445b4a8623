"""Pooled intersection over union against a case worked out by hand."""

import numpy as np
import pytest

from testbed.metrics import class_iou, frechet_distance, mean_iou


def test_hand_computed_case():
    truth = np.array([[[0, 0], [1, 1]], [[0, 1], [1, 1]]], np.uint8)
    predicted = np.array([[[0, 1], [1, 1]], [[0, 0], [1, 1]]], np.uint8)
    # class 0: both 2, either 4; class 1: both 4, either 6; class 2: nowhere
    assert class_iou(truth, predicted, 3)[:2] == pytest.approx([2 / 4, 4 / 6])
    assert np.isnan(class_iou(truth, predicted, 3)[2])
    assert mean_iou(truth, predicted, 3) == pytest.approx((2 / 4 + 4 / 6) / 2)


def test_a_class_predicted_where_it_never_is_counts_as_zero():
    truth, predicted = np.zeros((1, 2, 2), np.uint8), np.array([[[0, 0], [0, 2]]], np.uint8)
    assert class_iou(truth, predicted, 3)[2] == 0


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="truth is"):
        class_iou(np.zeros((1, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), 2)


def test_frechet_distance_of_gaussians_known_in_closed_form():
    random = np.random.default_rng(0)
    a = random.standard_normal((200_000, 2))
    b = a * [2.0, 1.0] + [3.0, 0.0]
    # |mean|² + (2 - 1)² for the one axis that is twice as wide
    assert frechet_distance(a, b) == pytest.approx(9 + 1, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
