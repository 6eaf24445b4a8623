"""The benchmark trains both ways on the same labels, and both learn them."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.labeler_training import compared, main, measure

KEYS = {
    "seconds_reference", "extrapolated", "seconds_ours", "speedup", "accuracy_reference", "accuracy_ours", "peak_gib",
}  # fmt: skip


@pytest.mark.parametrize(("budget", "extrapolated"), [(1e9, False), (0.01, True)])
def test_both_ways_learn_the_same_labels(tmp_path: Path, budget: float, extrapolated: bool) -> None:
    for way in ("labels", "reference", "ours"):
        measure(way, Namespace(resolution=16, width=256, images=2, budget=budget, alone=False, folder=tmp_path))
    row = compared(tmp_path)
    assert set(row) == KEYS
    assert row["extrapolated"] is extrapolated
    assert row["speedup"] == row["seconds_reference"] / row["seconds_ours"]
    for way in ("reference", "ours"):
        assert 1 / 8 < row[f"accuracy_{way}"] <= 1  # of eight classes
    assert row["peak_gib"] > 0


def test_ours_is_measured_alone_where_the_reference_cannot_be(tmp_path: Path) -> None:
    for way in ("labels", "ours"):
        measure(way, Namespace(resolution=16, width=256, images=2, budget=1, alone=True, folder=tmp_path))
    row = compared(tmp_path)
    assert set(row) == KEYS
    assert {name for name, value in row.items() if value is None} == KEYS - {
        "seconds_ours",
        "accuracy_ours",
        "peak_gib",
    }


@pytest.mark.slow
def test_the_command_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "numbers.json"
    main(["--json", str(target), "--resolution", "16", "--width", "256", "--images", "2", "--budget", "1"])
    (row,) = json.loads(target.read_text())["results"]
    assert set(row) == KEYS
    assert "2 images, labels of 16 pixels" in capsys.readouterr().out
    main(["--alone", "--resolution", "16", "--width", "256", "--images", "2"])
    assert "plain" not in capsys.readouterr().out
