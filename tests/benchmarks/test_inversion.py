"""The benchmark compares like with like: both ways end at the same loss."""

import json
from pathlib import Path

import pytest

from benchmarks.inversion import main


def test_both_ways_end_at_the_same_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "numbers.json"
    sizes = ["--resolution", "64", "--images", "2", "--steps", "3", "--repeats", "1", "--width", "512"]
    main(["--json", str(target), *sizes])
    (row,) = json.loads(target.read_text())["results"]
    assert (row["resolution"], row["images"], row["steps"]) == (64, 2, 3)
    assert row["float32_loss"] == pytest.approx(row["plain_loss"], rel=1e-3)
    assert row["ours_loss"] == pytest.approx(row["plain_loss"], rel=0.1)  # the same, but for bfloat16
    assert row["ours_loss"] < row["start_loss"]
    assert row["speedup"] == pytest.approx(row["plain_s"] / row["ours_s"], rel=0.02)
    assert "64 px" in capsys.readouterr().out
