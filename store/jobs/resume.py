"""Resuming: the poisoned shards of a failed job are tried again, and what is committed stays."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, insert, select

from store.database.clock import database_now
from store.database.database import Database
from store.errors import Gone, NotFound, NotResumable
from store.jobs.events import record
from store.jobs.job_result import JobResult
from store.jobs.states import TERMINAL_JOB_STATES
from store.jobs.submit import check_quota
from store.jobs.transitions import move_job, move_shards, move_steps
from store.jobs.views import Job, view
from store.resources.datasets import reopen_dataset
from store.resources.generators import find_generator
from store.tables import jobs, outbox, shards, steps
from store.tenancy.tenants import lock_tenant
from store.uploads.files import upload_missing

#: Fields of requests that may name an upload.
_UPLOADS = ("labels", "generated_labels", "source")


def resume_job(db: Database, job_id: str, *, tenant: str) -> Job:
    """Queue a failed job again, each of its shards that had no result with all attempts before it. A job that waits or
    runs is left as it is. Raises NotFound, NotResumable when the job did not fail or another try cannot help, Gone when
    its time is over, or its dataset, an upload or a generator that it needs was deleted, QuotaExceeded.
    """
    with db.write() as connection:
        lock_tenant(connection, tenant)
        mine = (jobs.c.id == job_id) & (jobs.c.tenant == tenant)
        row = connection.execute(select(jobs).where(mine).with_for_update()).one_or_none()
        if row is None:
            raise NotFound(f"no job {job_id!r}")
        _refuse_pointless(row)
        if row.state == "failed":
            now = connection.execute(select(database_now())).scalar_one()
            if row.expires_at is not None and row.expires_at < now:
                raise Gone(f"{job_id} has expired")
            _refuse_deleted_inputs(connection, row)
            check_quota(connection, db, tenant=tenant)
            _queue_again(connection, job_id)
        return view(connection, connection.execute(select(jobs).where(mine)).one())


def _refuse_pointless(row: Any) -> None:
    if row.state == "canceling":
        raise NotResumable(f"{row.id} is being canceled, and a canceled job cannot be resumed; start a new one")
    if row.state in TERMINAL_JOB_STATES and row.state != "failed":
        again = "there is nothing to resume" if row.state == "succeeded" else "start a new one"
        raise NotResumable(f"{row.id} is {row.state}, and only a failed job can be resumed; {again}")
    if row.state == "failed" and row.error_retryable is False:
        raise NotResumable(
            f"{row.id} failed with {row.error_code}, which another try does not change ({row.error_detail}); "
            "correct its input and start a new job"
        )


def _refuse_deleted_inputs(connection: Connection, row: Any) -> None:
    """Raise Gone where the job cannot go on because something that it reads was deleted after it failed."""
    missing, labels_read = [], JobResult.of(row.result).label_set is not None
    for field in _UPLOADS:
        name = row.spec.get(field)
        # Once a label set is made, the upload that it was made of is not read again.
        if isinstance(name, str) and name.startswith("upl_") and not (field == "labels" and labels_read):
            missing.append(upload_missing(connection, name, tenant=row.tenant))
    if generator := row.spec.get("generator"):
        try:
            find_generator(connection, generator, tenant=row.tenant)
        except NotFound as error:
            missing.append(error.detail)
    if any(missing):
        reasons = "; ".join(one for one in missing if one)
        raise Gone(f"{row.id} cannot go on, as something that it needs was deleted: {reasons}; start a new job")


def _queue_again(connection: Connection, job_id: str) -> None:
    """The caller holds the job's row."""
    cleared = {"error_code": None, "error_detail": None, "error_retryable": None, "error_problems": None}
    move_job(connection, job_id, "queued", finished_at=None, **cleared)
    # Shards that still run when their job fails learn it at their next heartbeat; those that have not are just kept.
    now = database_now()
    fresh = {"owner": None, "failures": 0, "not_before": now, "rung_at": now, "done": 0, "finished_at": None}
    unfinished = and_(shards.c.job_id == job_id, shards.c.state.in_(("poisoned", "canceled")))
    again = move_shards(connection, unfinished, "pending", error_code=None, error_detail=None, **fresh)
    if again:
        connection.execute(insert(outbox).values(created_at=now), [{"shard_id": row.id} for row in again])
    stopped = and_(steps.c.job_id == job_id, steps.c.state.in_(("failed", "canceled")))
    move_steps(connection, stopped, "pending", started_at=None, finished_at=None)
    reopen_dataset(connection, job_id)
    record(connection, job_id, "job.resumed", shards=len(again))
