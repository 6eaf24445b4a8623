"""The check of the verdicts runs, continues after an interruption, and counts right verdicts."""

import json
from pathlib import Path

import numpy as np
import pytest

from testbed import verdicts
from testbed.verdicts import SIZES, dataset, measure, summary

TINY = SIZES["tiny"]


def test_datasets_differ_only_by_the_labels_that_are_exchanged() -> None:
    images, masks, _ = dataset(TINY, 3, 0.0)
    same, half, doubted = dataset(TINY, 3, 0.5)
    assert np.array_equal(images, same)
    changed = (masks != half).any(axis=(1, 2))
    assert changed.sum() == 8
    assert doubted[changed].min() >= 0.5
    assert np.array_equal(dataset(TINY, 3, 0.5)[1], half)
    assert (dataset(TINY, 3, 1.0)[1] != masks).any(axis=(1, 2)).all()


def test_measuring_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "OUT", tmp_path)
    first = measure("tiny", ("equal", "worse"))
    assert set(first["tries"]) == {"equal 0", "worse 0"}
    assert len(first["search"]) == 1
    (kept,) = tmp_path.glob("tiny-*/verdicts.json")
    assert json.loads(kept.read_text()) == first
    assert not list(tmp_path.rglob("*.state"))
    monkeypatch.setattr(verdicts, "evaluated", lambda *_, **__: pytest.fail("evaluated twice"))
    assert measure("tiny", ("equal", "worse")) == first


def test_four_right_verdicts_of_five_hold() -> None:
    given = {"better": ["use"] * 4 + ["not shown"], "worse": ["do not use"] * 3 + ["not shown"] * 2}
    tries = {
        f"{kind} {i}": {"kind": kind, "verdict": one} for kind, found in given.items() for i, one in enumerate(found)
    }
    assert {kind: row["holds"] for kind, row in summary({"tries": tries}).items()} == {"better": True, "worse": False}
