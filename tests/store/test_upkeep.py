"""Outbox, reconciler and sweeper: hints may be lost or doubled, objects without a row do not stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from store.database.clock import database_now
from store.database.database import Database
from store.jobs.commits import StepResult, commit
from store.jobs.outbox import publish_hints, ring_again
from store.objects import LocalObjects, ObjectStore
from store.resources.files import File, add_files
from store.sweep import discard, sweep, work_prefix
from store.tables import outbox, shards
from tests.store.jobkit import TENANT, claimed, fan_out, plans, submit


def test_each_hint_is_published_once(db: Database) -> None:
    submit(db)
    fan_out(db, 3)
    rung: list[tuple[str, str]] = []

    def ring(shard_id: str, queue: str) -> None:
        rung.append((shard_id, queue))

    assert publish_hints(db, ring) == 4
    assert publish_hints(db, ring) == 0
    assert len({shard_id for shard_id, _ in rung}) == 4
    assert [queue for _, queue in rung] == ["train", "sample", "sample", "sample"]


def test_a_broker_that_is_away_loses_no_hint(db: Database) -> None:
    submit(db)
    fan_out(db, 3)
    rung: list[str] = []

    def ring(shard_id: str, _queue: str) -> None:
        if len(rung) == 2:
            raise ConnectionError("away")
        rung.append(shard_id)

    with pytest.raises(ConnectionError):
        publish_hints(db, ring)
    assert publish_hints(db, lambda _shard_id, _queue: None) == 2


def test_runnable_shards_that_nobody_takes_are_rung_again(db: Database) -> None:
    submit(db)
    publish_hints(db, lambda _shard_id, _queue: None)
    assert ring_again(db, after_seconds=60) == 0
    with db.write() as connection:
        connection.execute(update(shards).values(rung_at=database_now() - 61))
    assert ring_again(db, after_seconds=60) == 1
    assert ring_again(db, after_seconds=60) == 0
    with db.read() as connection:
        assert connection.execute(select(func.count()).select_from(outbox)).scalar_one() == 1
    claimed(db)
    with db.write() as connection:
        connection.execute(update(shards).values(rung_at=None))
    assert ring_again(db, after_seconds=60) == 0, "a running shard needs no hint"


def test_the_sweeper_removes_orphans_and_nothing_else(db: Database, objects: ObjectStore) -> None:
    submit(db)
    done = claimed(db)
    kept = objects.put(f"{work_prefix(done.shard_id, done.attempt)}kept", b"x")
    file = File("out", "kept", kept.key, 1, kept.sha256, "text/plain")
    commit(db, done, StepResult(fan_out=plans(1), files=(file,)))
    running = claimed(db)
    objects.put(f"{work_prefix(running.shard_id, running.attempt)}in-progress", b"x")
    objects.put(f"{work_prefix(running.shard_id, running.attempt - 1)}zombie", b"x")
    objects.put("uploads/upl_x/part", b"x")
    assert sweep(db, objects) == 0, "everything is young"
    _age(objects)
    assert sweep(db, objects) == 2
    assert {Path(found.key).name for found in objects.list()} == {"kept", "in-progress"}


def test_discard_keeps_what_is_referred_to(db: Database, objects: ObjectStore) -> None:
    for name in ("checkpoint", "other"):
        objects.put(f"{work_prefix('shard_x', 1)}{name}", b"x")
    key = f"{work_prefix('shard_x', 1)}checkpoint"
    with db.write() as connection:
        add_files(connection, TENANT, [File("shard_x", "checkpoint", key, 1, "", "text/plain")])
    discard(db, objects, "shard_x", 1)
    assert [found.key for found in objects.list()] == [key]


def _age(objects: ObjectStore) -> None:
    assert isinstance(objects, LocalObjects)
    for path in objects.root.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
