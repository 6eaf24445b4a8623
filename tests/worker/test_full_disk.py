"""Worker and relay whose log is on a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store.database.database import Database
from store.settings import Settings
from tests.worker.servicekit import STEPS, submit, view, wait_until
from worker.service.health import SIGN


def start(settings: Settings, *flags: str) -> subprocess.Popen[bytes]:
    """A worker or relay, as `servicekit` starts them, whose output takes nothing."""
    environment = {
        **os.environ,
        "OFFHAND_TEST_SETTINGS": settings.model_dump_json(),
        "OFFHAND_TEST_STEPS": STEPS,
        "OFFHAND_LOG_LEVEL": "debug",
    }
    command = [sys.executable, "-m", "tests.worker.serve", *flags]
    with open("/dev/full", "wb") as full:
        return subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2], stdout=full, stderr=full)


@pytest.mark.parametrize("fault", ["raise", pytest.param("exit", marks=pytest.mark.slow)])
def test_worker_goes_on_when_no_log_line_can_be_written(
    settings: Settings, db: Database, workers: list[subprocess.Popen[bytes]], fault: str
) -> None:
    settings.log_level = "debug"
    failing, after = submit(db, count=1, fault=fault), submit(db, count=1)
    workers.append(start(settings))
    wait_until(lambda: view(db, after).state == "succeeded")
    wait_until(lambda: view(db, failing).state == "failed")
    workers[0].terminate()
    assert workers[0].wait(timeout=30) == 0


def test_relay_goes_on_when_no_log_line_can_be_written(
    settings: Settings,
    db: Database,
    workers: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.log_level = "debug"
    settings.broker.url = "redis://127.0.0.1:1/0"  # none answers there: each hint is a line in the log
    submit(db, count=1)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sign = tmp_path / SIGN.name
    workers.append(start(settings, "--relay"))
    wait_until(sign.exists)
    sign.unlink()
    wait_until(sign.exists)  # chores go on
    assert workers[0].poll() is None
    workers[0].terminate()
    assert workers[0].wait(timeout=30) == 0
