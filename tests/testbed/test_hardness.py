"""What needs no net is counted right, and the measurement runs on any world."""

import numpy as np
import pytest

from core.evaluation.downstream.config import DownstreamConfig
from testbed import hardness, score
from testbed.worlds import WORLDS


def test_the_commonest_class_of_each_pixel():
    masks = np.array([[[0, 1], [2, 2]], [[0, 1], [1, 2]], [[1, 0], [1, 0]]], np.uint8)
    assert hardness.commonest(masks, 3).tolist() == [[0, 1], [1, 2]]


def test_nets_on_few_and_many_labels_are_scored_beside_the_layout(tmp_path, monkeypatch):
    monkeypatch.setattr(score, "OUT", tmp_path)
    monkeypatch.setattr(hardness, "TEST", 12)
    found = hardness.measure(WORLDS["streets"], DownstreamConfig(steps=3, batch=4, width=4), 0, few=4, full=8)
    assert list(found) == ["layout of the few", "c: 4 labels", "d: 8 labels"]
    # A street's ground is below and its sky above: the layout alone finds them.
    assert found["layout of the few"]["road"] > 0.4
    assert found["layout of the few"]["person"] == pytest.approx(0, abs=0.1)
    assert len(list(tmp_path.glob("*.pt"))) == 2
