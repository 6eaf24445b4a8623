"""Ends of a job: by canceling, by failing, or by its last step's commit.

Locks are taken shard first, then job; after the job's row only with SKIP LOCKED. Whoever holds a skipped shard waits
for the job's row and then sees its new state.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, select

from store.database.clock import database_now
from store.errors import Problem
from store.jobs.events import record
from store.jobs.states import TERMINAL_JOB_STATES
from store.jobs.transitions import end_job, move_shards, move_steps
from store.jobs.views import has_shards
from store.resources.datasets import end_dataset_early
from store.resources.generators import release_generator
from store.tables import files, jobs, shards, steps


def settle_canceling(connection: Connection, job_id: str) -> None:
    """Cancel what nobody works on; when nothing runs any more the job is canceled. The caller holds the job's row."""
    _cancel_pending(connection, job_id)
    if has_shards(connection, job_id, "running"):
        return
    end_job(connection, job_id, "canceled")
    _forget_checkpoints(connection, job_id)
    move_steps(connection, steps.c.job_id == job_id, "canceled", finished_at=database_now())
    _end_results_early(connection, job_id)
    record(connection, job_id, "job.canceled")


def fail_job(
    connection: Connection,
    job_id: str,
    *,
    step: str,
    code: str,
    detail: str,
    retryable: bool,
    problems: Sequence[Problem] = (),
) -> None:
    """End an active job as failed, with the step that failed; shards still running learn it at their next heartbeat.
    A job that is being canceled ends as canceled instead. The caller holds the job's row.
    """
    state = connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one()
    if state in TERMINAL_JOB_STATES:
        return
    if state == "canceling":
        settle_canceling(connection, job_id)
        return
    end_job(
        connection,
        job_id,
        "failed",
        error_code=code,
        error_detail=detail,
        error_retryable=retryable,
        error_problems=[
            {"detail": problem.detail, "pointer": problem.pointer}
            | ({"picture": problem.picture} if problem.picture else {})
            for problem in problems
        ],
    )
    this = and_(steps.c.job_id == job_id, steps.c.name == step)
    move_steps(connection, this, "failed", finished_at=database_now())
    move_steps(connection, steps.c.job_id == job_id, "canceled", finished_at=database_now())
    _cancel_pending(connection, job_id)
    _end_results_early(connection, job_id)
    record(connection, job_id, "job.failed", "error", code=code, detail=detail, step=step)


def expire_job(connection: Connection, job_id: str) -> None:
    """End an active job whose time is over; shards still running learn it at their next heartbeat. The caller holds
    the job's row.
    """
    end_job(connection, job_id, "expired")
    _forget_checkpoints(connection, job_id)
    move_steps(connection, steps.c.job_id == job_id, "canceled", finished_at=database_now())
    _cancel_pending(connection, job_id)
    _end_results_early(connection, job_id)
    record(connection, job_id, "job.expired", "warning")


def _end_results_early(connection: Connection, job_id: str) -> None:
    """Close the dataset that the job was making, and release the generator that it was training."""
    end_dataset_early(connection, job_id)
    result = connection.execute(select(jobs.c.result).where(jobs.c.id == job_id)).scalar_one()
    release_generator(connection, result.get("generator"))


def _forget_checkpoints(connection: Connection, job_id: str) -> None:
    """Untie the checkpoints of a job that cannot be resumed; the sweeper deletes the objects."""
    its_own = select(shards.c.id).where(shards.c.job_id == job_id)
    connection.execute(delete(files).where(files.c.resource_id.in_(its_own)))


def _cancel_pending(connection: Connection, job_id: str) -> None:
    """Cancel the job's pending shards, but for those that another transaction is claiming right now."""
    free = (
        select(shards.c.id)
        .where(shards.c.job_id == job_id, shards.c.state == "pending")
        .with_for_update(skip_locked=True)
    )
    pending = and_(shards.c.id.in_(free), shards.c.state == "pending")
    move_shards(connection, pending, "canceled", finished_at=database_now())
