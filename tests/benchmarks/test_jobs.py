"""The benchmark measures the real service: every part gives its rows, each from jobs that ended well."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.jobs import claims
from benchmarks.jobs.__main__ import PARTS, main
from benchmarks.jobs.steps import hashing


def _measured(tmp_path: Path, *words: str) -> dict[str, list[dict[str, Any]]]:
    target = tmp_path / "numbers.json"
    main(["--json", str(target), "--tiny", *words])
    found: dict[str, list[dict[str, Any]]] = json.loads(target.read_text())["parts"]
    return found


def test_every_claim_is_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = _measured(tmp_path, "--parts", "claims", "--databases", "sqlite")["claims"]
    assert [(row["database"], row["claimers"]) for row in rows] == [("sqlite", 1), ("sqlite", 2)]
    assert all(row["shards"] == 20 and row["claims_per_second"] > 0 for row in rows)
    assert capsys.readouterr().out.count("claims_per_second") == len(rows)


@pytest.mark.slow
@pytest.mark.usefixtures("postgres_server")
def test_postgresql_is_measured_too() -> None:
    row = claims.measure("postgresql", 2, 20)
    assert (row["database"], row["claimers"], row["shards"]) == ("postgresql", 2, 20)


def test_a_dead_claimer_is_an_error_and_not_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_claimer", _die)
    with pytest.raises(RuntimeError, match="a claimer died"):
        claims.measure("sqlite", 1, 1)


def _die(*_arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_part_gives_its_rows(tmp_path: Path) -> None:
    found = _measured(tmp_path, "--databases", "sqlite")
    assert list(found) == list(PARTS)
    (overhead,), (posting,) = found["overhead"], found["posting"]
    assert overhead["overhead"] == pytest.approx(overhead["service_s"] / overhead["bare_s"] - 1)
    assert (posting["broker"], posting["posts"]) == ("blackholed", 5)
    assert posting["ms_median"] <= posting["ms_max"]
    child, supervisor = found["recovery"]
    assert (child["victim"], supervisor["victim"]) == ("child", "supervisor")
    assert [(row["workers"], row["shards"]) for row in found["scaling"]] == [(1, 2), (2, 4)]
    assert all(row["efficiency"] <= 1.0 for row in found["scaling"]), "nothing sleeps faster than it was told to"
    assert [(row["images"], row["shards"]) for row in found["volume"]] == [(20, 1), (200, 1)]
    assert all(row[f"{name}_peak_mib"] > 0 for row in found["volume"] for name in ("api", "supervisor", "child"))


def test_the_stand_in_gives_the_same_bytes_wherever_it_runs() -> None:
    assert hashing(2, 7) == hashing(2, 7) != hashing(2, 8)


def test_unknown_parts_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--json", str(tmp_path / "numbers.json"), "--parts", "claims,speed"])
    assert "no speed; there are claims, overhead" in capsys.readouterr().err
