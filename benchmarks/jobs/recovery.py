"""Recovery: from the kill -9 of whoever holds a shard to the moment that the shard is running again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.jobs.service import ended, fresh_service, running_workers, submit, wait_until
from store.database.database import Database
from store.jobs.views import Job
from store.tables import shards

VICTIMS = ("child", "supervisor")


def measure(database: str, victim: str, lease_seconds: float) -> dict[str, Any]:
    """One row. Of two workers the one with the shard loses its child, or dies whole: the lease then has to end first.
    Its heartbeat keeps the proportion to the lease that the defaults have.
    """
    with (
        fresh_service(database, lease_seconds=lease_seconds, heartbeat_seconds=lease_seconds / 6) as db,
        running_workers(db, 2),
    ):
        job = submit(db, shards=1, seconds=5.0)
        wait_until(lambda: _running(db, job) is not None, "the first attempt")
        # Into the shard, so that its child has it.
        time.sleep(1.0)
        owner, _ = _running(db, job) or ("", 0)
        supervisor = int(owner.split(":")[1])
        os.kill(supervisor if victim == "supervisor" else _child_of(supervisor), signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: (_running(db, job) or ("", 0))[1] > 1, "another attempt", 10 * lease_seconds + 60)
        restarted = time.monotonic() - killed
        ended(db, job)
    return {"database": database, "victim": victim, "lease_seconds": lease_seconds, "restart_s": restarted}


def _running(db: Database, job: Job) -> tuple[str, int] | None:
    """Owner and attempt of the job's shard while it is claimed."""
    with db.read() as connection:
        row = connection.execute(
            select(shards.c.owner, shards.c.attempt).where(
                shards.c.job_id == job.id, shards.c.step == "work", shards.c.state == "running"
            )
        ).one_or_none()
    return None if row is None else (row.owner, row.attempt)


def _child_of(process: int) -> int:
    (child,) = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(child)
