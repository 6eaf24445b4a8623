"""The benchmark of the door runs against the real service, and every request of it is answered well."""

import json
from pathlib import Path

import pytest

from benchmarks.api import main


def test_it_measures_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "numbers.json"
    main(["--json", str(target), "--rate", "10", "--seconds", "0.5", "--listeners", "5", "--mib", "1"])
    found = json.loads(target.read_text())
    assert [row["request"] for row in found["latency"]] == ["GET job", "POST job", "list jobs", "list 50 jobs"]
    assert all((row["requests"], row["not_answered_well"]) == (5, 0) for row in found["latency"])
    assert found["events"][0]["heard"] == 5
    assert len(found["transfers"]) == 7
    assert all(row["mib_per_second"] > 0 for row in found["transfers"])
    assert "upload in parts" in capsys.readouterr().out
