"""A supervisor with a real child process: results, failures, deaths, cancelling, stopping."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import select, update

from store.database.clock import database_now
from store.database.database import Database, open_database
from store.errors import Problem
from store.jobs.cancel import cancel_job
from store.jobs.claims import claim
from store.jobs.commits import Failure
from store.jobs.events import events
from store.objects import ObjectStore, open_objects
from store.settings import Settings
from store.tables import shards
from tests.worker.conftest import quick_settings
from tests.worker.servicekit import STEPS, TENANT, assert_survived, submit, view, wait_until
from worker.runtime.supervisor import UNRECORDED, Supervisor


@pytest.fixture
def supervisor(settings: Settings, db: Database, objects: ObjectStore) -> Iterator[Supervisor]:
    """A supervisor of test steps, whose child ends with the test."""
    made = Supervisor(settings, db, objects, steps=STEPS)
    yield made
    made.close()


@contextmanager
def running(supervisor: Supervisor) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield thread
    finally:
        supervisor.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_a_job_is_done_by_one_child(supervisor: Supervisor, db: Database, objects: ObjectStore) -> None:
    job = submit(db, count=5)
    assert supervisor.run_until_idle() == 7
    assert view(db, job).state == "succeeded"
    assert_survived(db, objects, job, 5)
    assert len(_child_pids(db)) == 1


def test_the_log_has_figures_to_plot(supervisor: Supervisor, db: Database) -> None:
    job = submit(db, count=1, seconds=0.3)
    supervisor.run_until_idle()
    log = [event for event in events(db, job.id, tenant=TENANT) if event.data.get("step") == "work"]
    (measured,) = [event for event in log if event.name == "step.measured"]
    assert measured.data["figures"] == {"step": 1.0, "loss": 0.5}, "JSON has no word for what is not a number"
    (committed,) = [event for event in log if event.name == "shard.committed"]
    figures = committed.data["figures"]
    assert figures["seconds"] >= 0.3
    assert figures["memory_mib"] > 10


def test_the_child_is_recycled(settings: Settings, supervisor: Supervisor, db: Database) -> None:
    settings.worker.recycle_after = 3
    submit(db, count=5)
    supervisor.run_until_idle()
    assert len(_child_pids(db)) == 2


def test_bad_input_fails_the_job_at_once(supervisor: Supervisor, db: Database) -> None:
    job = submit(db, fault="bad_input")
    supervisor.run_until_idle()
    ended = view(db, job)
    assert (ended.state, ended.attempts) == ("failed", 1)
    assert ended.error is not None
    assert (ended.error.code, ended.error.retryable) == ("bad_label_set", False)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("raise", "internal_error", "RuntimeError: no luck"),
        ("exit", "worker_crashed", "the last words of a dying child"),
        ("disk_full", "storage_full", "no space"),
    ],
)
def test_a_shard_that_always_fails_is_poisoned_and_other_jobs_go_on(
    supervisor: Supervisor, db: Database, objects: ObjectStore, fault: str, code: str, words: str
) -> None:
    job, other = submit(db, count=1, fault=fault), submit(db, count=2)
    supervisor.run_until_idle()
    ended = view(db, job)
    assert (ended.state, ended.attempts) == ("failed", 3)
    assert ended.error is not None
    assert ended.error.code == code
    assert ended.error.retryable
    assert words in ended.error.detail
    assert view(db, other).state == "succeeded"
    assert_survived(db, objects, other, 2)


def test_error_of_a_killed_child_holds_nothing_of_the_jobs_before(
    settings: Settings, supervisor: Supervisor, db: Database
) -> None:
    settings.worker.max_attempts = 1  # the child that did the first job
    earlier, killed = submit(db, count=1, fault="bad_input"), submit(db, count=1, fault="exit")
    supervisor.run_until_idle()
    for job, words in ((earlier, "nothing in it"), (killed, "the last words of a dying child")):
        error = view(db, job).error
        assert error is not None
        assert words in error.detail
    assert "nothing in it" not in error.detail
    assert "Traceback" not in error.detail


def test_cancel_stops_a_running_shard(supervisor: Supervisor, db: Database, objects: ObjectStore) -> None:
    job = submit(db, count=3, seconds=600)
    with running(supervisor):
        wait_until(lambda: view(db, job).steps[1].state == "running")
        assert cancel_job(db, job.id, tenant=TENANT).accepted
        wait_until(lambda: view(db, job).state == "canceled", 5)
        wait_until(lambda: not list(objects.list()), 5)  # what the stopped shard had written is gone


def test_cancel_is_noticed_within_two_seconds_though_heartbeats_are_a_minute_apart(
    settings: Settings, supervisor: Supervisor, db: Database
) -> None:
    settings.worker.heartbeat_seconds = 60.0
    job = submit(db, count=1, seconds=600, fault="silent")
    with running(supervisor):
        wait_until(lambda: view(db, job).steps[1].state == "running")
        time.sleep(0.5)  # nothing is reported any more
        cancel_job(db, job.id, tenant=TENANT)
        wait_until(lambda: view(db, job).state == "canceled", 2)


def test_a_canceled_job_does_not_wait_for_a_slow_object_store(
    supervisor: Supervisor, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Event()
    monkeypatch.setattr("worker.runtime.supervisor.discard", lambda *_: told.wait(20))
    job = submit(db, count=1, seconds=600)
    with running(supervisor):
        wait_until(lambda: view(db, job).steps[1].state == "running")
        cancel_job(db, job.id, tenant=TENANT)
        wait_until(lambda: view(db, job).state == "canceled", 5)
        told.set()


def test_a_canceled_job_ends_within_five_seconds_though_its_child_does_not_stop(
    settings: Settings, supervisor: Supervisor, db: Database, tmp_path: Path
) -> None:
    settings.worker.heartbeat_seconds = 60.0
    pid_file = tmp_path / "pid"
    job = submit(db, count=1, fault="deaf", pid_file=str(pid_file))
    with running(supervisor):
        wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
        cancel_job(db, job.id, tenant=TENANT)
        wait_until(lambda: view(db, job).state == "canceled", 5)


def test_a_deaf_child_is_killed_with_what_it_started(
    supervisor: Supervisor, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.runtime.supervisor._STOP_SECONDS", 0.2)
    pid_file = tmp_path / "pid"
    job = submit(db, count=1, fault="deaf", pid_file=str(pid_file))
    with running(supervisor):
        wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
        group = int(pid_file.read_text())
        cancel_job(db, job.id, tenant=TENANT)
        wait_until(lambda: view(db, job).state == "canceled", 5)
    wait_until(lambda: not _alive(group), 2)


def test_stopping_lets_a_short_shard_finish(supervisor: Supervisor, db: Database) -> None:
    job = submit(db, count=1, seconds=0.5)
    with running(supervisor):
        wait_until(lambda: view(db, job).steps[1].state == "running")
        supervisor.stop()
    assert view(db, job).steps[1].state == "succeeded"


def test_stopping_gives_a_long_shard_back(settings: Settings, supervisor: Supervisor, db: Database) -> None:
    settings.worker.drain_seconds = 1.0
    job = submit(db, count=1, seconds=600)
    with running(supervisor):
        wait_until(lambda: view(db, job).steps[1].state == "running")
        before = time.monotonic()
    assert time.monotonic() - before < 5
    assert "shard.given_back" in [event.name for event in events(db, job.id, tenant=TENANT)]
    assert _state_of_work(db) == "pending"


def test_a_lost_lease_stops_the_child_and_commits_nothing(
    supervisor: Supervisor, db: Database, objects: ObjectStore
) -> None:
    job = submit(db, count=1, seconds=600)
    with running(supervisor):
        wait_until(lambda: view(db, job).steps[1].state == "running")
        with db.write() as connection:
            stolen = {"owner": "thief", "attempt": shards.c.attempt + 1, "lease_until": database_now() + 60}
            connection.execute(update(shards).where(shards.c.step == "work").values(**stolen))
        wait_until(lambda: not list(objects.list()))
    with db.read() as connection:
        row = connection.execute(select(shards).where(shards.c.step == "work")).one()
    assert (row.owner, row.state) == ("thief", "running")


def test_a_killed_child_costs_one_attempt(supervisor: Supervisor, db: Database, objects: ObjectStore) -> None:
    job = submit(db, count=2, seconds=1.0)
    with running(supervisor):
        wait_until(lambda: view(db, job).steps[1].state == "running")
        child = supervisor._children.child
        assert child is not None
        os.killpg(child.pid, signal.SIGKILL)
        wait_until(lambda: view(db, job).state == "succeeded")
    assert_survived(db, objects, job, 2)
    assert view(db, job).attempts == 2


def _alive(group: int) -> list[str]:
    """Processes of a group, but for the dead that nobody has collected."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
            if of_group == str(group) and state != "Z":
                found.append(path.parent.name)
    return found


def _child_pids(db: Database) -> set[int]:
    with db.read() as connection:
        rows = connection.execute(select(shards.c.result).where(shards.c.step == "work")).scalars()
        return {row["pid"] for row in rows}


def _state_of_work(db: Database) -> str:
    with db.read() as connection:
        return connection.execute(select(shards.c.state).where(shards.c.step == "work")).scalar_one()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Supervisor, Database]]:
    """A supervisor of test steps on each database."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    settings = quick_settings(tmp_path / "either", url)
    database = open_database(settings)
    made = Supervisor(settings, database, open_objects(settings), steps=STEPS)
    yield made, database
    made.close()
    database.close()


def test_an_error_that_the_database_refuses_is_recorded_by_a_fixed_text(
    either: tuple[Supervisor, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, db = either
    # Without the one function that makes text printable: whatever slips past it must not end the worker either.
    for module in ("contracts.text", "core.errors", "store.errors", "store.jobs.commits"):
        monkeypatch.setattr(f"{module}.printable", lambda text, *_: text)
    job = submit(db, count=1)
    taken = claim(db, supervisor.owner)
    assert taken is not None
    odd = Failure("bad_label_set", "\ud800 and \0", permanent=True, problems=(Problem("\ud800\0", "a"),))
    supervisor._failed(taken, odd)
    error = view(db, job).error
    assert error is not None
    assert (error.code, error.detail, error.retryable) == ("bad_label_set", UNRECORDED, False)


def test_a_result_that_the_database_refuses_fails_the_job_and_not_the_worker(
    either: tuple[Supervisor, Database],
) -> None:
    supervisor, db = either
    job = submit(db, count=1, fault="unstorable")
    supervisor.run_until_idle()
    ended = view(db, job)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.code == "internal_error"
    assert supervisor.run_until_idle() == 0, "it looks for more work"
