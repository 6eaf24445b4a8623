"""Jobs of test steps, and worker processes that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from store.db import Database
from store.files import list_files
from store.jobs.kinds import JobKind, StepPlan
from store.jobs.submit import submit_job
from store.jobs.views import Job, job_view
from store.objects import ObjectStore
from store.settings import Settings
from store.tables import files, shards
from worker.crash import VARIABLE

STEPS = "tests.worker.teststeps"
TENANT = "local"
KIND = JobKind(
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


def start_worker(settings: Settings, *, crash: str = "", broker: bool = False) -> subprocess.Popen[bytes]:
    """A worker process over the same database that serves test steps. `crash`: a crash point for it and its child."""
    environment = {**os.environ, "OFFHAND_TEST_SETTINGS": settings.model_dump_json(), VARIABLE: crash}
    command = [sys.executable, "-m", "tests.worker.serve", *(["--broker"] if broker else [])]
    return subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2])


def assert_each_shard_committed_once(db: Database, objects: ObjectStore, job: Job, count: int) -> None:
    """One committed row per shard with the content that seed and index decide, and no object without a row."""
    with db.read() as connection:
        committed = connection.execute(
            select(func.count())
            .select_from(shards)
            .where(shards.c.job_id == job.id, shards.c.step == "work", shards.c.state == "succeeded")
        ).scalar_one()
        known = set(connection.execute(select(files.c.key)).scalars())
    assert committed == count
    assert {found.key for found in objects.list()} <= known, "an object without a row was left behind"
    made = list_files(db, job.id.replace("job_", "out_"), tenant=TENANT)
    assert len(made) == count
    for file in made:
        index = int(file.name.removeprefix("shards/").removesuffix(".tar"))
        assert b"".join(objects.read(file.key)) == f"7:{index}".encode()
