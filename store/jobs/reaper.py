"""Shards whose worker fell silent are counted as failed attempts and tried again; jobs whose time is over end."""

from __future__ import annotations

from sqlalchemy import and_, select

from store.database.clock import database_now
from store.database.database import Database
from store.jobs.commits import Failure, end_attempt
from store.jobs.endings import expire_job
from store.jobs.states import CLAIMABLE_JOB_STATES
from store.tables import jobs, shards


def reap(db: Database) -> int:
    """Requeue or poison every shard whose lease has expired; their number. Two reapers at once do it once."""
    expired = and_(shards.c.state == "running", shards.c.lease_until < database_now())
    with db.read() as connection:
        found = connection.execute(select(shards.c.id, shards.c.attempt, shards.c.owner).where(expired)).all()
    ended = 0
    for row in found:
        failure = Failure(
            "worker_lost",
            f"the worker {row.owner} stopped answering during attempt {row.attempt}",
            retryable=True,
        )
        # One transaction a shard: locks are held shortly and in the order shard, job.
        with db.write() as connection:
            same = and_(shards.c.id == row.id, shards.c.attempt == row.attempt, shards.c.lease_until < database_now())
            ended += end_attempt(connection, db, same, failure)
    return ended


def expire_jobs(db: Database) -> int:
    """End every job that is not done when its data expires; their number. Canceling jobs end by being canceled."""
    late = and_(jobs.c.state.in_(CLAIMABLE_JOB_STATES), jobs.c.expires_at < database_now())
    with db.read() as connection:
        found = connection.execute(select(jobs.c.id).where(late)).scalars().all()
    ended = 0
    for job_id in found:
        with db.write() as connection:
            row = connection.execute(select(jobs.c.id).where(late, jobs.c.id == job_id).with_for_update()).one_or_none()
            if row is not None:
                expire_job(connection, job_id)
                ended += 1
    return ended
