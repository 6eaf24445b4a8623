"""A new job: its rows, its idempotency row and its hints to workers, all in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, Unpack

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from store import idempotency
from store.clock import database_now
from store.crash import crash_point
from store.datasets import add_dataset
from store.db import Database
from store.errors import InvalidRequest, NotFound, Problem, QuotaExceeded
from store.files import stored_bytes
from store.generators import find_generator, generator_names
from store.idempotency import IdempotencyKey
from store.ids import new_id
from store.jobs.events import record
from store.jobs.forecast import candidates
from store.jobs.kinds import DRAW_SAMPLES, GENERATE, JobKind
from store.jobs.shards import ShardPlan, add_shards
from store.jobs.views import Job, job_view
from store.specs import CANDIDATES_PER_IMAGE, MAX_SEED, GenerateSpec
from store.tables import encoders, jobs, label_sets, steps
from store.tenants import active_jobs, limits_of
from store.tracing import traceparent
from store.uploads import upload_missing

#: Ids of sets of samples: the rest is that of the job that draws them.
SAMPLES_PREFIX = "smp_"

#: Given the transaction and the new job's id, makes what belongs to the job and returns the job's first `result`.
Prepare = Callable[[Connection, str], Mapping[str, str]]


class Asked(TypedDict):
    """Who asks for a job, and with what headers: the same for every kind."""

    tenant: str
    request_id: NotRequired[str]
    idempotency_key: NotRequired[IdempotencyKey | None]


@dataclass(frozen=True, slots=True)
class Submission:
    """A job and, where an idempotency key repeated an earlier request, the answer remembered from it."""

    job: Job
    replayed: bool
    answer: dict[str, Any] | None


def submit_generate(db: Database, spec: GenerateSpec, **asked: Unpack[Asked]) -> Submission:
    """Accept a `generate` job: `spec.labels` a complete upload or a label set, `spec.generator` a ready generator.

    Raises InvalidRequest with every problem found, QuotaExceeded, IdempotencyMismatch, StoreUnavailable, StorageFull.
    """

    tenant = asked["tenant"]

    def prepare(connection: Connection, job_id: str) -> Mapping[str, str]:
        return {"dataset": add_dataset(connection, tenant=tenant, job_id=job_id, count=spec.count)}

    return submit_job(
        db,
        GENERATE,
        spec=spec.model_dump(mode="json"),
        seed=spec.seed,
        total=candidates(spec.count, spec.drop_fraction),
        labels=spec.labels_map,
        priority=spec.priority,
        check=lambda connection: check_generate(connection, db, spec, tenant=tenant),
        prepare=prepare,
        **asked,
    )


def check_generate(connection: Connection, db: Database, spec: GenerateSpec, *, tenant: str) -> None:
    """Raise InvalidRequest naming every field of `spec` that cannot work, or return."""
    problems = reference_problems(
        connection, db, tenant=tenant, labels=spec.labels, generator=spec.generator, count=spec.count
    )
    problems += _encoder_problems(connection, spec.inversion.encoder, spec.generator, tenant)
    problems += _composition_problems(connection, db, spec, tenant)
    problems += _samples_problems(connection, spec, tenant)
    if problems:
        raise InvalidRequest("the job cannot be started like this", problems)


def _composition_problems(connection: Connection, db: Database, spec: GenerateSpec, tenant: str) -> list[Problem]:
    """Classes that a label set does not have (of an upload the job learns it), and bounds that cannot be kept."""
    problems = []
    known = connection.execute(
        select(label_sets.c.info).where(label_sets.c.id == spec.labels, label_sets.c.tenant == tenant)
    ).scalar()
    collapse = spec.labeler.collapse
    if known is not None and collapse is not None:
        there = [one["name"] for one in known["classes"]]
        problems += [
            Problem(f"no class {name!r}; there are {', '.join(there) or 'none'}", f"/labeler/collapse/classes/{at}/of")
            for at, row in enumerate(collapse.classes)
            for name in row.of
            if name not in there
        ]
    # Which classes a preset leaves, the worker knows.
    if known is not None and (collapse is None or collapse.classes):
        names = [one.name for one in collapse.classes] if collapse else [one["name"] for one in known["classes"]]
        problems += [
            Problem(
                f"no class {demand.class_name!r}; there are {', '.join(names) or 'none'}", f"/composition/{at}/class"
            )
            for at, demand in enumerate(spec.composition)
            if demand.class_name not in names
        ]
    if spec.max_candidates is not None:
        least = candidates(spec.count, spec.drop_fraction)
        most = CANDIDATES_PER_IMAGE * limits_of(connection, db.settings.limits, tenant)["images_per_job"]
        if not least <= spec.max_candidates <= most:
            detail = f"from {least}, which count and drop_fraction need, to {most}"
            problems.append(Problem(detail, "/max_candidates"))
    return problems


def samples_job(connection: Connection, sample_set_id: str, tenant: str) -> Any | None:
    """The row of the job that draws these samples, or None."""
    job_id = "job_" + sample_set_id.removeprefix(SAMPLES_PREFIX)
    mine = select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant, jobs.c.kind == DRAW_SAMPLES.name)
    return connection.execute(mine).one_or_none() if sample_set_id.startswith(SAMPLES_PREFIX) else None


def _samples_problems(connection: Connection, spec: GenerateSpec, tenant: str) -> list[Problem]:
    if spec.samples is None:
        return []
    pointer = "/samples"
    row = samples_job(connection, spec.samples, tenant)
    if row is None:
        return [Problem(f"no samples {spec.samples!r}", pointer)]
    if row.state != "succeeded":
        return [Problem(f"{spec.samples!r} is {row.state}", pointer)]
    try:
        drawn, wanted = (
            find_generator(connection, one, tenant=tenant).id for one in (row.spec["generator"], spec.generator)
        )
    except NotFound:
        return []  # told already, or gone: then the worker finds other weights
    return [] if drawn == wanted else [Problem(f"{spec.samples!r} were drawn by another generator", pointer)]


def _encoder_problems(connection: Connection, encoder: str | None, generator: str, tenant: str) -> list[Problem]:
    if encoder is None:
        return []
    pointer = "/inversion/encoder"
    mine = select(encoders.c.generator_id).where(encoders.c.id == encoder, encoders.c.tenant == tenant)
    trained_for = connection.execute(mine).scalar()
    if trained_for is None:
        return [Problem(f"no encoder {encoder!r}", pointer)]
    try:
        wanted = find_generator(connection, generator, tenant=tenant).id
    except NotFound:
        return []  # told already
    return [] if trained_for == wanted else [Problem(f"{encoder!r} was trained for another generator", pointer)]


def reference_problems(
    connection: Connection, db: Database, *, tenant: str, labels: str | None, generator: str | None, count: int | None
) -> list[Problem]:
    """Every field that names something absent or unfinished, or asks for too much. A None is not looked at."""
    problems = []
    limit = limits_of(connection, db.settings.limits, tenant)["images_per_job"]
    if count is not None and count > limit:
        problems.append(Problem(f"at most {limit} images per job", "/count"))
    if generator is not None:
        try:
            if find_generator(connection, generator, tenant=tenant).state != "ready":
                problems.append(Problem(f"the generator {generator!r} is not ready", "/generator"))
        except NotFound:
            known = ", ".join(generator_names(connection, tenant=tenant)) or "none"
            problems.append(Problem(f"no generator {generator!r}; known: {known}", "/generator"))
    if labels is not None:
        problems += _label_problems(connection, labels, tenant)
    return problems


def _label_problems(connection: Connection, labels: str, tenant: str) -> list[Problem]:
    label_set = select(label_sets.c.id).where(label_sets.c.id == labels, label_sets.c.tenant == tenant)
    if connection.execute(label_set).one_or_none() is not None:
        return []
    why_not = upload_missing(connection, labels, tenant=tenant, other="label set")
    return [Problem(why_not, "/labels")] if why_not else []


def submit_job(
    db: Database,
    kind: JobKind,
    *,
    tenant: str,
    spec: Mapping[str, Any],
    total: int,
    seed: int | None = None,
    labels: Mapping[str, str] | None = None,
    priority: int = 0,
    request_id: str = "",
    idempotency_key: IdempotencyKey | None = None,
    check: Callable[[Connection], None] | None = None,
    prepare: Prepare | None = None,
) -> Submission:
    """Accept a job of any kind in one transaction: job, steps, first shard, idempotency row, outbox. A `seed` of None
    is drawn at random and recorded. Raises QuotaExceeded, IdempotencyMismatch and whatever `check` raises.
    """
    job_id = new_id("job")
    for _ in range(2):
        try:
            with db.write() as connection:
                replay = idempotency.find(connection, tenant, idempotency_key)
                if replay is None:
                    if check is not None:
                        check(connection)
                    check_quota(connection, db, tenant=tenant)
                    idempotency.keep(connection, tenant, idempotency_key, job_id)
                    _insert_job(
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
                        request_id=request_id,
                    )
                    if prepare is not None:
                        made = prepare(connection, job_id)
                        connection.execute(jobs.update().where(jobs.c.id == job_id).values(result=dict(made)))
                    crash_point("api.before_commit")
            crash_point("api.after_commit")
            break
        except IntegrityError:
            # The same key came twice at once; the other request won, and the second round finds what it made.
            continue
    if replay is not None:
        return Submission(job_view(db, replay.resource_id, tenant=tenant), True, replay.answer)
    return Submission(job_view(db, job_id, tenant=tenant), False, None)


def check_quota(connection: Connection, db: Database, *, tenant: str) -> None:
    """Raise QuotaExceeded when the tenant has as many active jobs or stored bytes as allowed."""
    limits = limits_of(connection, db.settings.limits, tenant)
    active, allowed = active_jobs(connection, tenant), limits["queued_jobs"]
    if active >= allowed:
        raise QuotaExceeded(
            f"{active} jobs are waiting or running, which is the limit", quota="queued_jobs", limit=allowed
        )
    allowed = limits["stored_bytes"]
    if stored_bytes(connection, tenant) >= allowed:
        raise QuotaExceeded(f"{allowed} bytes are stored, which is the limit", quota="stored_bytes", limit=allowed)


def _insert_job(connection: Connection, db: Database, kind: JobKind, **values: Any) -> None:
    days = db.settings.limits.retention_days
    connection.execute(
        insert(jobs).values(
            kind=kind.name,
            state="queued",
            result={},
            traceparent=traceparent(),
            created_at=database_now(),
            expires_at=None if days is None else database_now() + days * 86400.0,
            **values,
        )
    )
    job_id, tenant = values["id"], values["tenant"]
    for position, plan in enumerate(kind.steps):
        connection.execute(
            insert(steps).values(
                job_id=job_id,
                position=position,
                name=plan.name,
                state="pending",
                queue=plan.queue,
                counts_images=plan.counts_images,
                fan_out=plan.fan_out,
            )
        )
    record(connection, job_id, "job.queued", kind=kind.name, request_id=values["request_id"])
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
