"""Whatever dies at whatever point, each shard is committed once and nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from store.database.database import Database, open_database
from store.jobs.views import Job
from store.objects import LocalObjects, ObjectStore, open_objects
from store.settings import Settings
from store.sweep import sweep
from store.tables import shards
from tests.worker.conftest import quick_settings
from tests.worker.servicekit import assert_survived, start_worker, submit, view, wait_until


@pytest.mark.parametrize(
    "point", ["supervisor.after_claim", "supervisor.before_commit", "supervisor.after_commit", "relay.after_ring"]
)
def test_the_supervisor_dies_and_another_goes_on(
    settings: Settings, db: Database, objects: ObjectStore, workers: list, tmp_path: Path, point: str
) -> None:
    job = submit(db, count=3)
    first = start_worker(settings, crash=f"{point}:{tmp_path / 'died'}")
    workers.append(first)
    assert first.wait(120) == -signal.SIGKILL
    workers.append(start_worker(settings))
    _ends_well(db, objects, job, 3)


@pytest.mark.parametrize("point", ["child.mid_step", "child.after_put"])
def test_the_child_dies_and_its_supervisor_goes_on(
    settings: Settings, db: Database, objects: ObjectStore, workers: list, tmp_path: Path, point: str
) -> None:
    job = submit(db, count=3)
    workers.append(start_worker(settings, crash=f"{point}:{tmp_path / 'died'}"))
    _ends_well(db, objects, job, 3)
    assert (tmp_path / "died").exists()
    assert view(db, job).attempts == 2


def test_a_child_does_not_outlive_its_supervisor(
    settings: Settings, db: Database, workers: list, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    submit(db, count=1, fault="deaf", pid_file=str(pid_file))
    worker = start_worker(settings)
    workers.append(worker)
    wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
    child = int(pid_file.read_text())
    worker.kill()
    wait_until(lambda: not _alive(child), 5)


def test_a_stopped_worker_comes_back_as_a_zombie_and_changes_nothing(
    postgres_url: str, tmp_path: Path, workers: list
) -> None:
    # Not on SQLite: who is stopped while writing there holds the one lock, and all wait for him.
    settings = quick_settings(tmp_path, postgres_url)
    db, objects = open_database(settings), open_objects(settings)
    job = submit(db, count=1, seconds=0.5)
    zombie = start_worker(settings)
    workers.append(zombie)
    wait_until(lambda: _running_child(db) is not None)
    os.kill(zombie.pid, signal.SIGSTOP)
    workers.append(start_worker(settings))
    wait_until(lambda: view(db, job).state == "succeeded")
    os.kill(zombie.pid, signal.SIGCONT)
    time.sleep(1.0)
    _ends_well(db, objects, job, 1)
    db.close()


def test_sigterm_ends_a_worker_within_ten_seconds_and_gives_the_shard_back(
    settings: Settings, db: Database, workers: list
) -> None:
    job = submit(db, count=1, seconds=600)
    worker = start_worker(settings)
    workers.append(worker)
    wait_until(lambda: _running_child(db) is not None)
    before = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert time.monotonic() - before < 10
    with db.read() as connection:
        row = connection.execute(select(shards).where(shards.c.step == "work")).one()
    assert (row.state, row.failures) == ("pending", 0)
    assert view(db, job).state == "running"


def _ends_well(db: Database, objects: ObjectStore, job: Job, count: int) -> None:
    wait_until(lambda: view(db, job).terminal)
    assert view(db, job).state == "succeeded"
    assert isinstance(objects, LocalObjects)
    for found in objects.list():
        os.utime(objects.path(found.key), (0, 0))
    sweep(db, objects)
    assert_survived(db, objects, job, count)


def _running_child(db: Database) -> str | None:
    with db.read() as connection:
        query = select(shards.c.id).where(shards.c.step == "work", shards.c.state == "running")
        return connection.execute(query).scalars().first()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
