"""The deployment's numbers say what is there, on both databases."""

from __future__ import annotations

from store.database.database import Database
from store.jobs.commits import Failure, fail
from store.jobs.deployment_metrics import figures
from store.jobs.reaper import reap
from tests.store.jobkit import claimed, do, expire, fan_out, submit


def test_figures_of_a_deployment(db: Database) -> None:
    submit(db)
    fan_out(db, 4)
    do(db, claimed(db))
    expire(db, claimed(db))
    reap(db)
    do(db, claimed(db))
    claimed(db)
    submit(db, total=3)
    fail(db, claimed(db), Failure("out_of_memory", "tail", permanent=True))
    with db.read() as connection:
        found = figures(connection)
    assert sum(found.waiting.values()) + sum(found.running.values()) >= 2
    assert found.running["sample"] == 1
    assert found.failures["worker_lost"] == 1
    speeds = {speed.step: speed for speed in found.speeds}
    assert (speeds["work"].shards, speeds["work"].images) == (2, 10)
    assert speeds["plan"].images == 0
    assert speeds["work"].seconds > 0
    assert found.hints >= 5
    assert found.oldest_hint_seconds >= 0


def test_figures_of_nothing(db: Database) -> None:
    with db.read() as connection:
        found = figures(connection)
    assert (found.waiting, found.running, found.speeds, found.hints) == ({}, {}, (), 0)
    assert found.oldest_waiting_seconds == 0.0
