"""Counts over masks, and what is said of them."""

import numpy as np
import pytest

from core.evaluation.metrics.label_statistics import compare_classes, label_statistics, plain_findings
from core.label_sets.classes import ClassMap

CLASSES = ClassMap({0: "background", 1: "face", 2: "hat"})


def test_counts_by_hand():
    masks = np.array([[[0, 1], [1, 2]], [[0, 0], [0, 1]], [[0, 0], [0, 255]]], np.uint8)
    found = label_statistics(masks, 3)
    assert found.shown.tolist() == [3, 2, 1]
    assert found.pixels.tolist() == [7, 3, 1]
    assert found.together.tolist() == [[3, 2, 1], [2, 2, 1], [1, 1, 1]]
    assert found.prevalence == pytest.approx([1, 2 / 3, 1 / 3])
    assert found.area == pytest.approx([(1 / 4 + 3 / 4 + 1) / 3, (2 / 4 + 1 / 4) / 2, 1 / 4])
    assert label_statistics(masks, 3, least_pixels=2).shown.tolist() == [2, 1, 0]


def test_a_class_that_is_never_drawn_is_named():
    real = label_statistics(np.array([[[0, 1], [1, 2]], [[0, 0], [0, 1]]], np.uint8), 3)
    drawn = label_statistics(np.array([[[0, 1], [1, 1]]], np.uint8), 3)
    assert plain_findings(real, drawn, CLASSES) == [
        "The generator never draws class 'hat', which 50% of the real images show."
    ]
    hat = compare_classes(real, drawn, CLASSES)[2]
    assert (hat.name, hat.real_images, hat.generated_images) == ("hat", 0.5, 0.0)


def test_what_is_never_drawn_together_is_named():
    both, one, other = np.array([[1, 2]], np.uint8), np.array([[1, 1]], np.uint8), np.array([[2, 2]], np.uint8)
    findings = plain_findings(label_statistics([both], 3), label_statistics([one, other], 3), CLASSES)
    assert findings == ["'face' and 'hat' are never drawn together, as on 100% of real images."]


def test_equal_sets_have_no_findings():
    same = label_statistics(np.array([[[0, 1], [1, 2]]], np.uint8), 3)
    assert plain_findings(same, same, CLASSES) == []
