"""Jobs of test steps, and worker processes that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import select

from store.crash import VARIABLE
from store.database.database import Database
from store.jobs.events import events
from store.jobs.kinds import JobKind, StepPlan
from store.jobs.submit import submit_job
from store.jobs.views import Job, job_view
from store.objects import ObjectStore
from store.resources.files import list_files
from store.settings import Settings
from store.tables import files, shards

STEPS = "tests.worker.teststeps"
TENANT = "local"
KIND: JobKind[Any] = JobKind(
    "test",
    (
        StepPlan("plan", "train"),
        StepPlan("work", "sample", fan_out=True, counts_images=True),
        StepPlan("finish", "cpu"),
    ),
)


def submit(db: Database, *, count: int = 4, **spec: Any) -> Job:
    """A job of `count` shards; further arguments say how its steps behave."""
    return submit_job(db, KIND, tenant=TENANT, spec={"shards": count, **spec}, total=count, seed=7).job


def view(db: Database, job: Job) -> Job:
    """The job as it is now."""
    return job_view(db, job.id, tenant=TENANT)


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Return once the condition holds, fail when it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def start_worker(
    settings: Settings,
    *,
    crash: str = "",
    broker: bool = False,
    queues: str = "",
    clock: float = 0.0,
    steps: str = STEPS,
) -> subprocess.Popen[bytes]:
    """A worker process over the same database that serves test steps. `crash`: a crash point for it and its child;
    `clock`: seconds by which its wall clock is wrong.
    """
    more = {"OFFHAND_TEST_QUEUES": queues, "OFFHAND_TEST_CLOCK": str(clock), "OFFHAND_TEST_STEPS": steps}
    return _start(settings, crash, ["--broker"] if broker else [], more)


def start_relay(settings: Settings, *, crash: str = "") -> subprocess.Popen[bytes]:
    """The relay that workers behind a broker need. `crash`: a crash point for it."""
    return _start(settings, crash, ["--relay"], {})


def _start(settings: Settings, crash: str, flags: list[str], more: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OFFHAND_TEST_SETTINGS": settings.model_dump_json(), VARIABLE: crash, **more}
    command = [sys.executable, "-m", "tests.worker.serve", *flags]
    return subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2])


def assert_survived(db: Database, objects: ObjectStore, job: Job, count: int) -> None:
    """The oracle of every fault: the job succeeded once; one committed row per shard; the digests are those of a run
    without faults, which seed and index decide; no object without a row; a log without gaps and with one ending.
    """
    assert view(db, job).state == "succeeded"
    with db.read() as connection:
        work = select(shards.c.position, shards.c.result).where(shards.c.job_id == job.id, shards.c.step == "work")
        committed = connection.execute(work.where(shards.c.state == "succeeded").order_by(shards.c.position)).all()
        known = set(connection.execute(select(files.c.key)).scalars())
    assert [row.position for row in committed] == list(range(count))
    expected = [f"7:{index}".encode() for index in range(count)]
    assert [row.result["sha256"] for row in committed] == [sha256(content).hexdigest() for content in expected]
    assert {found.key for found in objects.list()} <= known, "an object without a row was left behind"
    made = list_files(db, job.id.replace("job_", "out_"), tenant=TENANT)
    assert [b"".join(objects.read(file.key)) for file in made] == expected
    log = events(db, job.id, tenant=TENANT, limit=10_000)
    assert [event.number for event in log] == list(range(1, len(log) + 1))
    assert [event.name for event in log if event.name in _ENDINGS] == ["job.succeeded"]
    assert sum(event.name == "shard.committed" for event in log) == count + 2


_ENDINGS = {"job.succeeded", "job.failed", "job.canceled", "job.expired"}
