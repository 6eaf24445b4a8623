"""Claiming a shard, keeping it, giving it back. Every call after the claim is fenced by (owner, attempt)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Select, and_, bindparam, exists, func, select, update

from store.database.clock import database_now
from store.database.database import Database
from store.jobs.endings import settle_canceling
from store.jobs.events import record
from store.jobs.job_result import JobResult
from store.jobs.kinds import QUEUES
from store.jobs.states import CLAIMABLE_JOB_STATES
from store.jobs.transitions import lock_job, move_held_shard, move_job, move_shards, move_steps
from store.resources.files import File, add_files, remove_files
from store.tables import jobs, outbox, shards, steps

#: Name of the file of a shard that holds how far an attempt had come.
CHECKPOINT = "checkpoint"
#: Jobs whose turn it might be that one call looks at; others may take the last shard of any of them meanwhile.
_JOBS_TRIED = 50


@dataclass(frozen=True, slots=True)
class Claim:
    """A shard that is ours until its lease ends. `attempt` grows with every claim of the shard and fences late writes.

    `input`: what the shard is about; `spec`, `seed`, `result`: the job's, `result` holding ids made by earlier steps.
    `request_id`, `traceparent`: of the request that began the job, for logs and spans.
    """

    shard_id: str
    job_id: str
    kind: str
    tenant: str
    step: str
    position: int
    attempt: int
    owner: str
    input: dict[str, Any]
    spec: dict[str, Any]
    seed: int
    result: JobResult
    request_id: str
    traceparent: str = ""


def claim(
    db: Database, owner: str, queues: Collection[str] = QUEUES, known: Collection[str] | None = None
) -> Claim | None:
    """Take the next runnable shard of the queues, or None when there is none. `known`: steps that the worker can do
    (without it, all); a job that a newer program accepted may have others.

    Tenants take turns (fewest running shards first); within one, jobs of higher priority come first, then older jobs,
    then earlier steps.
    """
    # Looked for without a lock first: idle workers ask often, and on SQLite writing means keeping all others out.
    runnable = _runnable(queues, known)
    with db.read() as connection:
        waiting = connection.execute(_jobs_with_work(runnable)).all()
    for row in waiting:
        taken = _claim_of(db, row.id, owner, runnable)
        if taken is not None:
            return taken
    return None


def _claim_of(db: Database, job_id: str, owner: str, runnable: ColumnElement[bool]) -> Claim | None:
    """The next shard of one job, unless others were quicker."""
    with db.write() as connection:
        found = move_shards(
            connection,
            shards.c.id == _next_of(job_id, runnable),
            "running",
            owner=owner,
            attempt=shards.c.attempt + 1,
            lease_until=database_now() + db.settings.worker.lease_seconds,
            started_at=database_now(),
            done=0,
        )
        if not found:
            return None
        (taken,) = found
        job = lock_job(connection, job_id)
        if job.state not in CLAIMABLE_JOB_STATES:
            # The job ended or was canceled while we waited for its row.
            drop(connection, taken, job)
            return None
        _begin(connection, job, taken)
        return Claim(
            shard_id=taken.id,
            job_id=job.id,
            kind=job.kind,
            tenant=job.tenant,
            step=taken.step,
            position=taken.position,
            attempt=taken.attempt,
            owner=owner,
            input=taken.input,
            spec=job.spec,
            seed=job.seed,
            result=JobResult.of(job.result),
            request_id=job.request_id,
            traceparent=job.traceparent,
        )


def heartbeat(db: Database, claim: Claim, *, done: int = 0, total: int = 0) -> Literal["keep", "lost", "stop"]:
    """Renew the lease and publish progress (`total` 0: leave as it is).

    `lost`: somebody else owns the shard now, do nothing more for it. `stop`: the job was canceled or has failed, stop
    and give the shard back.
    """
    progress: dict[str, Any] = {"done": done}
    if total > 0:
        progress["total"] = total
    with db.write() as connection:
        renewed = connection.execute(
            update(shards)
            .where(mine(claim))
            .values(lease_until=database_now() + db.settings.worker.lease_seconds, **progress)
        ).rowcount
        if not renewed:
            return "lost"
        state = connection.execute(select(jobs.c.state).where(jobs.c.id == claim.job_id)).scalar_one()
        return "keep" if state in CLAIMABLE_JOB_STATES else "stop"


def is_wanted(db: Database, claim: Claim) -> bool:
    """Whether the claim's job still waits for it; False once it was canceled, has failed or has expired. One read by
    primary key, so that it may be asked every second.
    """
    with db.read() as connection:
        return connection.execute(_STATE, {"job": claim.job_id}).scalar() in CLAIMABLE_JOB_STATES


_STATE = select(jobs.c.state).where(jobs.c.id == bindparam("job"))


def save_checkpoint(db: Database, claim: Claim, file: File) -> str | None:
    """Keep `file` (of the shard, named CHECKPOINT) for the next attempt, in place of the one before. Returns the key of
    the object that is not needed any more: the older one's, or the new one's when the shard is no longer ours.
    """
    assert (file.resource_id, file.name) == (claim.shard_id, CHECKPOINT)
    with db.write() as connection:
        if held(connection, mine(claim)) is None:
            return file.key
        older = remove_files(connection, claim.shard_id)
        add_files(connection, claim.tenant, [file])
        return older[0] if older else None


def log_figures(db: Database, claim: Claim, figures: Mapping[str, float]) -> bool:
    """Put figures that people may plot into the job's log; False when the shard is no longer ours."""
    with db.write() as connection:
        if held(connection, mine(claim)) is None:
            return False
        about: dict[str, Any] = {"step": claim.step, "position": claim.position, "attempt": claim.attempt}
        record(connection, claim.job_id, "step.measured", **about, figures=dict(figures))
        return True


def give_back(db: Database, claim: Claim) -> bool:
    """Let go of a shard: to be claimed again at once, or canceled when its job no longer wants it. Not a failure of the
    shard. False when it is no longer ours.
    """
    with db.write() as connection:
        row = held(connection, mine(claim))
        if row is None:
            return False
        job = lock_job(connection, claim.job_id)
        if job.state in CLAIMABLE_JOB_STATES:
            now = database_now()
            freed = {"owner": None, "lease_until": None, "not_before": now, "rung_at": now, "done": 0}
            move_held_shard(connection, row, "pending", **freed)
            connection.execute(outbox.insert().values(shard_id=claim.shard_id, created_at=database_now()))
            record(connection, job.id, "shard.given_back", step=claim.step, attempt=claim.attempt)
        else:
            drop(connection, row, job)
        return True


def mine(claim: Claim) -> ColumnElement[bool]:
    """The fence: this shard, this attempt, this owner, still running."""
    return and_(
        shards.c.id == claim.shard_id,
        shards.c.attempt == claim.attempt,
        shards.c.owner == claim.owner,
        shards.c.state == "running",
    )


def held(connection: Connection, which: ColumnElement[bool]) -> Any | None:
    """The shard that `which` selects, held until the transaction ends, or None."""
    return connection.execute(select(shards).where(which).with_for_update()).one_or_none()


def drop(connection: Connection, shard: Any, job: Any) -> None:
    """Cancel a running shard whose job no longer wants it. The caller holds both rows."""
    remove_files(connection, shard.id)
    move_held_shard(connection, shard, "canceled", finished_at=database_now(), lease_until=None)
    if job.state == "canceling":
        settle_canceling(connection, job.id)


def _runnable(queues: Collection[str], known: Collection[str] | None) -> ColumnElement[bool]:
    """Pending shards whose time has come. One that depends on a step that is being done again waits for it."""
    ours = [] if known is None else [shards.c.step.in_(known)]
    earlier = shards.alias("earlier")
    waits = (
        select(earlier.c.id)
        .where(
            earlier.c.job_id == shards.c.job_id,
            earlier.c.step_position < shards.c.step_position,
            earlier.c.state.in_(("pending", "running")),
        )
        .correlate(shards)
        .exists()
    )
    ready = shards.c.not_before <= database_now()
    return and_(shards.c.state == "pending", shards.c.queue.in_(queues), ready, *ours, ~waits)


def _jobs_with_work(runnable: ColumnElement[bool]) -> Select[tuple[str]]:
    """Ids of jobs in the order of their turns. Only jobs are sorted, never their shards, of which there may be many."""
    busy = (
        select(shards.c.tenant, func.count().label("running"))
        .where(shards.c.state == "running")
        .group_by(shards.c.tenant)
        .subquery()
    )
    return (
        select(jobs.c.id)
        .outerjoin(busy, busy.c.tenant == jobs.c.tenant)
        .where(jobs.c.state.in_(CLAIMABLE_JOB_STATES))
        .where(exists().where(shards.c.job_id == jobs.c.id, runnable))
        .order_by(func.coalesce(busy.c.running, 0), jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id)
        .limit(_JOBS_TRIED)
    )


def _next_of(job_id: str, runnable: ColumnElement[bool]) -> ScalarSelect[str]:
    return (
        select(shards.c.id)
        .where(shards.c.job_id == job_id, runnable)
        .order_by(shards.c.step_position, shards.c.position)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )


def _begin(connection: Connection, job: Any, shard: Any) -> None:
    """The job's and the step's first shard start them."""
    if job.state == "queued":
        move_job(connection, job.id, "running", started_at=database_now())
        record(connection, job.id, "job.started")
    this = and_(steps.c.job_id == job.id, steps.c.name == shard.step)
    if move_steps(connection, this, "running", started_at=database_now()):
        record(connection, job.id, "step.started", step=shard.step)
        last = connection.execute(select(func.max(steps.c.position)).where(steps.c.job_id == job.id)).scalar_one()
        if shard.step_position == last:
            move_job(connection, job.id, "finalizing")
