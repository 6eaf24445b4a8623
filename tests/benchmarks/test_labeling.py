"""The benchmark compares like with like: both ways label the same pixels alike."""

import json
from pathlib import Path

import pytest

from benchmarks.labeling import main

KEYS = {
    "resolution", "dtype", "reference_s", "ours_s", "speedup_total", "speedup_labeling", "peak_reference_gib",
    "peak_ours_gib", "vote_agreement", "hidden_max_abs",
}  # fmt: skip


def test_both_ways_label_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "numbers.json"
    main(["--json", str(target), "--resolution", "32", "--repeats", "1", "--width", "256"])
    exact, rounded = json.loads(target.read_text())["results"]
    assert set(exact) == KEYS
    assert (exact["dtype"], rounded["dtype"]) == ("float32", "bfloat16")
    assert exact["hidden_max_abs"] < 1e-4
    assert exact["vote_agreement"] > 0.998
    assert rounded["hidden_max_abs"] < 0.03
    assert rounded["vote_agreement"] > 0.9
    assert "32 pixels" in capsys.readouterr().out
