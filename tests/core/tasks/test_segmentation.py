import math

import numpy as np
import pytest

from core.tasks.segmentation import agreement, collapse, confusion_matrix

TRUTH = np.array([[0, 0, 1, 1], [2, 2, 255, 255]], np.uint8)
PREDICTED = np.array([[0, 1, 1, 1], [2, 255, 0, 2]], np.uint8)


def test_confusion_counts_pixels_and_leaves_ignored_truth_out():
    assert confusion_matrix(TRUTH, PREDICTED, 4).tolist() == [
        [1, 1, 0, 0, 0],
        [0, 2, 0, 0, 0],
        [0, 0, 1, 0, 1],
        [0, 0, 0, 0, 0],
    ]


def test_agreement():
    scores = agreement(confusion_matrix(TRUTH, PREDICTED, 4))
    assert scores.iou == pytest.approx({0: 1 / 2, 1: 2 / 3, 2: 1 / 2})
    assert scores.absent == (3,)
    assert scores.mean_iou == pytest.approx(5 / 9)
    assert scores.pixel_accuracy == pytest.approx(4 / 6)


def test_absent_classes_as_zero_and_chosen_classes():
    confusion = confusion_matrix(TRUTH, PREDICTED, 4)
    assert agreement(confusion, absent_as_zero=True).mean_iou == pytest.approx(5 / 12)
    assert agreement(confusion, (1, 3)).mean_iou == pytest.approx(2 / 3)


def test_scores_are_pooled_over_images_and_agree_with_counting():
    generator = np.random.default_rng(0)
    truths, predictions = generator.integers(0, 5, (2, 6, 9, 7), np.uint8)
    total = sum(confusion_matrix(*pair, 5) for pair in zip(truths, predictions, strict=True))
    scores = agreement(total)
    for one in range(5):
        both, either = ((truths == one) & (predictions == one)).sum(), ((truths == one) | (predictions == one)).sum()
        assert scores.iou[one] == pytest.approx(both / either)


def test_nothing_to_count():
    scores = agreement(confusion_matrix(np.full(3, 255, np.uint8), np.zeros(3, np.uint8), 2))
    assert math.isnan(scores.mean_iou)
    assert math.isnan(scores.pixel_accuracy)
    assert scores.absent == (0, 1)


def test_bad_input():
    with pytest.raises(ValueError, match="shape"):
        confusion_matrix(TRUTH, PREDICTED[:1], 4)
    with pytest.raises(ValueError, match="class id 2"):
        confusion_matrix(TRUTH, PREDICTED, 2)


def test_collapse():
    assert collapse(TRUTH, {0: 7, 255: 0}).tolist() == [[7, 7, 1, 1], [2, 2, 0, 0]]
