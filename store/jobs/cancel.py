"""Canceling: a flag that is seen at claim, heartbeat and commit."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from store.database.database import Database
from store.errors import NotFound
from store.jobs.endings import settle_canceling
from store.jobs.events import record
from store.jobs.states import CLAIMABLE_JOB_STATES
from store.jobs.transitions import move_job
from store.jobs.views import Job, view
from store.tables import jobs


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The job after the call; `accepted` is False when it was ending or had ended already."""

    job: Job
    accepted: bool


def cancel_job(db: Database, job_id: str, *, tenant: str) -> Cancellation:
    """Ask a job to stop. Repeating it changes nothing. Raises NotFound."""
    with db.write() as connection:
        mine = (jobs.c.id == job_id) & (jobs.c.tenant == tenant)
        row = connection.execute(select(jobs).where(mine).with_for_update()).one_or_none()
        if row is None:
            raise NotFound(f"no job {job_id!r}")
        accepted = row.state in CLAIMABLE_JOB_STATES
        if accepted:
            move_job(connection, job_id, "canceling")
            record(connection, job_id, "job.cancel_requested")
            settle_canceling(connection, job_id)
        return Cancellation(view(connection, connection.execute(select(jobs).where(mine)).one()), accepted)
