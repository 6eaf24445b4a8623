"""A new job: its rows, its idempotency row and its hints to workers, all in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, Unpack

from sqlalchemy import Connection, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError

from store.crash import crash_point
from store.database import idempotency
from store.database.clock import database_now
from store.database.database import Database
from store.database.idempotency import IdempotencyKey
from store.errors import InvalidRequest, QuotaExceeded
from store.ids import new_id
from store.job_kinds import KINDS
from store.jobs.events import record_first
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, Submitting
from store.jobs.progress import progress_at_birth
from store.jobs.shards import ShardPlan, add_shards
from store.jobs.time_estimate import Estimates, TimeLeft
from store.jobs.views import Job, job_view, view
from store.requests.base import MAX_SEED, JobSpec
from store.resources.files import stored_bytes
from store.tables import jobs, steps
from store.tenancy.tenants import active_jobs, limits_of, lock_tenant
from store.tracing import traceparent

#: Of a new job's id, the job's first `result`.
Result = Callable[[str], JobResult]
#: Given the transaction, the new job's id and its first result, adds the rows that belong to the job.
Prepare = Callable[[Connection, str, JobResult], None]


class Asked(TypedDict):
    """Caller of a job and the headers of the request: the same for every kind. `rehearsal` is for :func:`rehearse`."""

    tenant: str
    request_id: NotRequired[str]
    idempotency_key: NotRequired[IdempotencyKey | None]
    rehearsal: NotRequired[bool]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Calls of a kind inside the transaction that adds a job.

    `check` returns the number of images, in place of `total`, or raises.
    """

    check: Callable[[Connection], int] | None = None
    result: Result | None = None
    prepare: Prepare | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A job and, where an idempotency key repeated an earlier request, the answer remembered from it."""

    job: Job
    replayed: bool
    answer: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Expected result of a request. `seconds` is None while some step was never measured and nothing typical is known
    of it; `rough`: it is typical, not measured. `queued_jobs`: the tenant's jobs that wait already.
    """

    seconds: float | None
    rough: bool
    queued_jobs: int


class _RehearsalOver(Exception):
    def __init__(self, left: TimeLeft) -> None:
        self.left = left


class _EqualJob(Exception):
    def __init__(self, job_id: str) -> None:
        self.job_id = job_id


def rehearse(db: Database, request: JobSpec, *, tenant: str) -> Rehearsal:
    """Submit and take everything back: raises all that `submit_request` would, and nothing stays."""
    try:
        submit_request(db, request, tenant=tenant, rehearsal=True)
        left = TimeLeft(0.0)  # an equal job is there already
    except _RehearsalOver as over:
        left = over.left
    waiting = select(func.count()).select_from(jobs).where(jobs.c.tenant == tenant, jobs.c.state == "queued")
    with db.read() as connection:
        return Rehearsal(left.seconds, left.rough, int(connection.execute(waiting).scalar_one()))


def submit_request(db: Database, request: JobSpec, **asked: Unpack[Asked]) -> Submission:
    """Accept a job of the request's kind, or find the one that makes or has made the same.

    Raises InvalidRequest with every problem found, QuotaExceeded, IdempotencyMismatch, StoreUnavailable, StorageFull,
    and what the checks of the kind raise.
    """
    kind = KINDS[request.kind]
    tenant = asked["tenant"]

    def prepare(connection: Connection, job_id: str, result: JobResult) -> None:
        kind.prepare(Submitting(connection, db, tenant), request, job_id, result)

    def check(connection: Connection) -> int:
        where = Submitting(connection, db, tenant)
        if problems := kind.check(where, request):
            raise InvalidRequest(kind.refusal, problems)
        if (equal := kind.equal(where, request)) is not None:
            raise _EqualJob(equal)
        return kind.images(where, request)

    try:
        return submit_job(
            db,
            kind,
            spec=request.model_dump(mode="json"),
            seed=getattr(request, "seed", 0),
            labels=request.labels_map,
            priority=request.priority,
            hooks=Hooks(check, lambda job_id: kind.result(request, job_id), prepare),
            **asked,
        )
    except _EqualJob as found:
        return Submission(job_view(db, found.job_id, tenant=tenant), False, None)


def submit_job(
    db: Database,
    kind: JobKind[Any],
    *,
    spec: Mapping[str, Any],
    total: int = 0,
    seed: int | None = None,
    labels: Mapping[str, str] | None = None,
    priority: int = 0,
    hooks: Hooks | None = None,
    **asked: Unpack[Asked],
) -> Submission:
    """Accept a job of any kind in one transaction: job, steps, first shard, idempotency row, outbox. A `seed` of None
    is drawn at random and recorded. Raises QuotaExceeded, IdempotencyMismatch and what `hooks.check` raises.
    """
    hooks = hooks or Hooks()
    tenant, idempotency_key = asked["tenant"], asked.get("idempotency_key")
    job_id = new_id("job")
    for _ in range(2):
        try:
            with db.write() as connection:
                lock_tenant(connection, tenant)
                replay = idempotency.find(connection, tenant, idempotency_key)
                if replay is None:
                    if hooks.check is not None:
                        total = hooks.check(connection)
                    check_quota(connection, db, tenant=tenant)
                    idempotency.keep(connection, tenant, idempotency_key, job_id)
                    made = hooks.result(job_id) if hooks.result is not None else JobResult()
                    row = _insert_job(
                        connection,
                        db,
                        kind,
                        id=job_id,
                        tenant=tenant,
                        spec=dict(spec),
                        total=total,
                        seed=secrets.randbelow(MAX_SEED + 1) if seed is None else seed,
                        labels=dict(labels or {}),
                        priority=priority,
                        request_id=asked.get("request_id", ""),
                        result=made.to_json(),
                    )
                    if hooks.prepare is not None:
                        hooks.prepare(connection, job_id, made)
                    progress = progress_at_birth(kind)
                    if asked.get("rehearsal"):
                        raise _RehearsalOver(Estimates(connection).time_left(row, progress))
                    job = view(connection, row, progress)
                    crash_point("api.before_commit")
            crash_point("api.after_commit")
            break
        except IntegrityError:
            # The same key came twice at once; the other request won, and the second round finds what it made.
            continue
    else:
        raise idempotency.unsettled()
    if replay is not None:
        return Submission(job_view(db, replay.resource_id, tenant=tenant), True, replay.answer)
    return Submission(job, False, None)


def check_quota(connection: Connection, db: Database, *, tenant: str) -> None:
    """Raise QuotaExceeded when the tenant has as many active jobs or stored bytes as allowed. The caller has locked the
    tenant.
    """
    limits = limits_of(connection, db.settings.limits, tenant)
    active, allowed = active_jobs(connection, tenant), limits["queued_jobs"]
    if active >= allowed:
        raise QuotaExceeded(
            f"{active} jobs are waiting or running, which is the limit", quota="queued_jobs", limit=allowed
        )
    allowed = limits["stored_bytes"]
    if stored_bytes(connection, tenant) >= allowed:
        raise QuotaExceeded(f"{allowed} bytes are stored, which is the limit", quota="stored_bytes", limit=allowed)


# Built once: building a statement takes longer than the database does with it.
_ADD_JOB = (
    insert(jobs)
    .values(
        state="queued",
        last_event=1,
        created_at=database_now(),
        expires_at=database_now() + bindparam("lifetime", type_=jobs.c.expires_at.type),
    )
    .returning(jobs)
)
_ADD_STEPS = insert(steps)


def _insert_job(connection: Connection, db: Database, kind: JobKind[Any], **values: Any) -> Any:
    """The new row of `jobs`, with its steps, its first event and its first shard."""
    days = db.settings.limits.retention_days
    own = {"kind": kind.name, "traceparent": traceparent(), "lifetime": None if days is None else days * 86400.0}
    row = connection.execute(_ADD_JOB, own | values).one()
    job_id, tenant = values["id"], values["tenant"]
    connection.execute(
        _ADD_STEPS,
        [
            {
                "job_id": job_id,
                "position": position,
                "name": plan.name,
                "state": "pending",
                "queue": plan.queue,
                "counts_images": plan.counts_images,
                "fan_out": plan.fan_out,
                "tenant": tenant,
                "generator": values["spec"].get("generator") or "",
            }
            for position, plan in enumerate(kind.steps)
        ],
    )
    record_first(connection, job_id, "job.queued", kind=kind.name, request_id=values["request_id"])
    first = kind.steps[0]
    add_shards(
        connection,
        job_id=job_id,
        tenant=tenant,
        step=first.name,
        step_position=0,
        queue=first.queue,
        plans=[ShardPlan()],
    )
    return row
