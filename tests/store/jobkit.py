"""A small kind of job for tests of the machinery, and the moves that a worker makes with it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update

from store.database.clock import database_now
from store.database.database import Database
from store.jobs.claims import Claim, claim
from store.jobs.commits import Committed, StepResult, commit
from store.jobs.kinds import JobKind, StepPlan
from store.jobs.shards import ShardPlan
from store.jobs.submit import submit_job
from store.jobs.views import Job, job_view
from store.tables import shards

TENANT = "local"
KIND: JobKind[Any] = JobKind(
    "test",
    (
        StepPlan("plan", "train"),
        StepPlan("work", "sample", fan_out=True, counts_images=True),
        StepPlan("finish", "cpu"),
    ),
)


def submit(
    db: Database, *, total: int = 10, tenant: str = TENANT, priority: int = 0, allow_partial: bool = False
) -> Job:
    """A job of the test kind."""
    spec = {"allow_partial": allow_partial}
    return submit_job(db, KIND, tenant=tenant, spec=spec, total=total, priority=priority).job


def plans(count: int, each: int = 5) -> tuple[ShardPlan, ...]:
    """Shards of `each` images."""
    return tuple(ShardPlan({"start": index * each, "stop": (index + 1) * each}, each) for index in range(count))


def claimed(db: Database, owner: str = "worker") -> Claim:
    """A claim that must be had."""
    got = claim(db, owner)
    assert got is not None
    return got


def fan_out(db: Database, count: int) -> None:
    """Do the planning step of the only job, so that `count` shards of work wait."""
    assert commit(db, claimed(db), StepResult(fan_out=plans(count))).done


def do(db: Database, taken: Claim, *, shards_of_work: int = 2) -> Committed:
    """Commit whatever the claim asks for."""
    return commit(db, taken, StepResult(fan_out=plans(shards_of_work) if taken.step == "plan" else ()))


def drain(db: Database) -> int:
    """Do all work there is; the number of shards done."""
    done = 0
    while (taken := claim(db, "drain")) is not None:
        assert do(db, taken).done
        done += 1
    return done


def expire(db: Database, taken: Claim) -> None:
    """Let the lease of a claim have ended a moment ago."""
    with db.write() as connection:
        connection.execute(
            update(shards).where(shards.c.id == taken.shard_id).values(lease_until=database_now() - 0.001)
        )


def view(db: Database, job: Job) -> Job:
    """The job as it is now."""
    return job_view(db, job.id, tenant=TENANT)


def count_shards(db: Database, job_id: str, state: str) -> int:
    """Shards of the job in a state."""
    with db.read() as connection:
        query = select(func.count()).select_from(shards).where(shards.c.job_id == job_id, shards.c.state == state)
        return int(connection.execute(query).scalar_one())
