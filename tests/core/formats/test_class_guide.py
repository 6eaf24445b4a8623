"""The papers' collapses, asked for by name in `classes.json`."""

import json

import numpy as np
import pytest

from core.errors import LabelSetError
from core.formats.class_guide import ClassGuide


def test_a_collapse_by_name():
    guide = ClassGuide.from_bytes(b'{"collapse": "celebamask_hq_8"}', "classes.json")
    assert guide.classes.names[7] == "hair"
    names = {number: f"part {number}" for number in range(19)} | {1: "skin", 13: "hair"}
    table, words = guide.targets(names, 255)
    assert table[[0, 1, 3, 4, 5, 13, 14, 18, 255]].tolist() == [0, 1, 3, 3, 3, 7, 0, 0, 255]
    assert "hair → hair" in words


def test_an_id_beyond_the_collapse_is_told():
    guide = ClassGuide.from_bytes(b'{"collapse": "celebamask_hq_8"}', "classes.json")
    with pytest.raises(LabelSetError, match="has no target for the class 19"):
        guide.targets(dict.fromkeys(range(19), "x") | {19: "beard"}, 255)


@pytest.mark.parametrize("name", ["faces", None, ["celebamask_hq_8"]])
def test_an_unknown_collapse_is_told(name):
    with pytest.raises(LabelSetError, match="is none of celebamask_hq_8, car_parts_10"):
        ClassGuide.from_bytes(json.dumps({"collapse": name}).encode(), "classes.json")


def test_a_class_map_without_a_collapse_is_read_as_before():
    guide = ClassGuide.from_bytes(b'{"classes": ["a", "b"], "sources": {"7": "b", "x": 255}}', "classes.json")
    table, _ = guide.targets({0: "a", 7: "c", 9: "x"}, 8)
    assert np.flatnonzero(table == 1).tolist() == [7]


@pytest.mark.parametrize("value", ["ignore", 255, ["ignored"]])
def test_an_unknown_rule_for_uncovered_pixels_is_refused(value):
    document = {"classes": ["a", "b"], "uncovered": value}
    with pytest.raises(LabelSetError, match=r"uncovered is .*: expected ignored or background"):
        ClassGuide.from_bytes(json.dumps(document).encode(), "classes.json")
