import numpy as np
import pytest

from core.tasks.keypoints import heatmaps, keypoint_hits, peaks


def test_by_hand():
    # A box of 10 by 4: thresholds are 1, 0.5 and 0.2 pixels.
    truth = np.array([[[0, 0, 2], [10, 4, 2], [5, 2, 1], [99, 99, 0]]], np.float32)
    predicted = truth[..., :2] + np.array([[[0.9, 0], [0, 0.4], [0, 0], [0, 0]]], np.float32)
    hits = keypoint_hits(truth, predicted)
    assert hits.counted.tolist() == [1, 1, 0, 0]  # hidden and unlabelled points are not counted
    assert hits.hits.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert hits.pck == {0.1: 1.0, 0.05: 0.5, 0.02: 0.0}
    assert np.isnan(hits.per_point[0, 2])


def test_counts_add_up_and_images_without_extent_count_for_nothing():
    random = np.random.default_rng(0)
    truth = np.concatenate([random.uniform(0, 64, (9, 5, 2)), random.integers(0, 3, (9, 5, 1))], 2).astype(np.float32)
    predicted = truth[..., :2] + random.normal(0, 2, (9, 5, 2)).astype(np.float32)
    whole = keypoint_hits(truth, predicted)
    parts = keypoint_hits(truth[:4], predicted[:4]) + keypoint_hits(truth[4:], predicted[4:])
    assert np.array_equal(whole.hits, parts.hits)
    assert np.array_equal(whole.counted, parts.counted)
    alone = np.array([[[3, 3, 2], [0, 0, 0]]], np.float32)
    assert np.isnan(keypoint_hits(alone, alone).pck[0.1])


def test_shapes_must_belong_together():
    with pytest.raises(ValueError, match="shape"):
        keypoint_hits(np.zeros((1, 2, 3), np.float32), np.zeros((1, 3, 2), np.float32))


def test_heat_by_hand_and_back():
    points = np.array([[[2.5, 1.5, 2], [0.5, 3.5, 1], [1.5, 1.5, 0]]], np.float32)
    heat = heatmaps(points, (4, 5), std=1.0, peak=10.0)
    assert heat.shape == (1, 3, 4, 5)
    assert heat[0, 0, 1, 2] == 10
    assert heat[0, 0, 1, 3] == pytest.approx(10 * np.exp(-0.5))
    assert heat[0, 0, 3, 4] == pytest.approx(10 * np.exp(-4))
    assert not heat[0, 2].any()  # not labelled
    assert peaks(heat)[0, :2].tolist() == [[2.5, 1.5, 10], [0.5, 3.5, 10]]
