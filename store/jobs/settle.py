"""How a job ends: by cancelling, by failing, or by its last step's commit.

Locks are taken shard first, then job; after the job's row only with SKIP LOCKED. Whoever holds a skipped shard waits for
the job's row and then sees its new state.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from store.clock import database_now
from store.datasets import end_dataset_early
from store.errors import Problem
from store.jobs.events import record
from store.jobs.states import TERMINAL_JOB_STATES, check_transition, states_before
from store.jobs.views import has_shards
from store.tables import jobs, shards, steps


def settle_canceling(connection: Connection, job_id: str) -> None:
    """Cancel what nobody works on; when nothing runs any more the job is canceled. The caller holds the job's row."""
    cancel_pending(connection, job_id)
    if has_shards(connection, job_id, "running"):
        return
    move_job(connection, job_id, "canceled", finished=True)
    _end_steps(connection, job_id, "canceled")
    end_dataset_early(connection, job_id)
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
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            error_code=code,
            error_detail=detail,
            error_retryable=retryable,
            error_problems=[{"detail": problem.detail, "pointer": problem.pointer} for problem in problems],
        )
    )
    move_job(connection, job_id, "failed", finished=True)
    failed = steps.c.state.in_(states_before("step", "failed"))
    connection.execute(
        update(steps)
        .where(steps.c.job_id == job_id, steps.c.name == step, failed)
        .values(state="failed", finished_at=database_now())
    )
    _end_steps(connection, job_id, "canceled")
    cancel_pending(connection, job_id)
    end_dataset_early(connection, job_id)
    record(connection, job_id, "job.failed", "error", code=code, detail=detail, step=step)


def move_job(connection: Connection, job_id: str, after: str, *, finished: bool = False) -> None:
    """Change a job's state. Raises IllegalTransition."""
    before = connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one()
    check_transition("job", before, after)
    values = {"finished_at": database_now()} if finished else {}
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(state=after, **values))


def cancel_pending(connection: Connection, job_id: str) -> None:
    """Cancel the job's pending shards, but for those that another transaction is claiming right now."""
    free = (
        select(shards.c.id)
        .where(shards.c.job_id == job_id, shards.c.state == "pending")
        .with_for_update(skip_locked=True)
    )
    connection.execute(
        update(shards).where(shards.c.id.in_(free)).values(state="canceled", finished_at=database_now())
    )


def _end_steps(connection: Connection, job_id: str, state: str) -> None:
    connection.execute(
        update(steps)
        .where(steps.c.job_id == job_id, steps.c.state.in_(states_before("step", state)))
        .values(state=state, finished_at=database_now())
    )
