"""A container is well while its program leaves signs of life, and says so when it does not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from store.database.database import Database
from worker.service import health
from worker.service.background_loops import Chore, Upkeep, worker_upkeep


@pytest.fixture(autouse=True)
def sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(health, "SIGN", tmp_path / "alive")
    return health.SIGN


def test_a_worker_that_announces_itself_is_well(db: Database, sign: Path) -> None:
    assert health.main() == 1
    with worker_upkeep(db, "somebody"):
        until = time.monotonic() + 20
        while not sign.exists() and time.monotonic() < until:
            time.sleep(0.01)
    assert health.main() == 0


def test_an_old_sign_is_none(sign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign.touch()
    os.utime(sign, (time.time() - 300, time.time() - 300))
    assert health.main() == 1
    assert "no sign of life for 300 s" in capsys.readouterr().err


def test_chores_that_fail_leave_no_sign_and_are_tried_again(sign: Path) -> None:
    tries: list[float] = []

    def fail() -> None:
        tries.append(time.monotonic())
        raise OSError("the broker is away")

    with Upkeep([Chore("outbox.publish", 0.02, fail)]):
        until = time.monotonic() + 20
        while len(tries) < 3 and time.monotonic() < until:
            time.sleep(0.01)
    assert len(tries) >= 3
    assert not sign.exists()
