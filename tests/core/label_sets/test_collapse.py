import numpy as np
import pytest

from core.errors import LabelSetError
from core.label_sets.classes import ClassMap
from core.label_sets.collapse import collapse_by_name, collapse_labels, collapse_table, collapsed_classes
from core.label_sets.label_set import LabelItem, LabelSet
from core.tasks.presets import COLLAPSES

CLASSES = ClassMap({0: "ground", 1: "left eye", 3: "right eye"}, ignore_index=9)
TWO = (("background", ("ground",)), ("eyes", ("left eye", "right eye")))


def test_labels_are_collapsed_by_name():
    mask = np.array([[0, 1, 3], [9, 3, 0]], np.uint8)
    item = LabelItem("a", np.zeros((2, 3, 3), np.uint8), mask)
    labels = collapse_labels(LabelSet((item,), CLASSES, "zip"), collapse_by_name(CLASSES, TWO))
    assert labels.classes == ClassMap({0: "background", 1: "eyes"}, ignore_index=9)
    assert labels.items[0].mask.tolist() == [[0, 1, 1], [9, 1, 0]]
    assert mask[0, 2] == 3, "the set that was given stays as it is"


def test_an_ignore_index_that_becomes_a_class_moves_away():
    classes = ClassMap({1: "skin", 2: "nose"}, ignore_index=0)
    collapse = collapse_by_name(classes, [("nose", ["nose"]), ("skin", ["skin"])])
    assert collapsed_classes(classes, collapse).ignore_index == 255
    assert collapse_table(classes, collapse)[:4].tolist() == [255, 1, 0, 255]


def test_every_class_without_a_place_and_every_unknown_name_is_told():
    with pytest.raises(LabelSetError) as caught:
        collapse_by_name(CLASSES, [("eyes", ["left eye", "middle eye"]), ("x", ["y"])])
    assert [problem.pointer for problem in caught.value.problems] == ["eyes", "x"]
    with pytest.raises(LabelSetError) as caught:
        collapsed_classes(ClassMap({0: "a", 19: "b", 20: "c"}), COLLAPSES["celebamask_hq_8"])
    assert [problem.pointer for problem in caught.value.problems] == ["b", "c"]
