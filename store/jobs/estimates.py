"""When a job will be done, from what was measured: its own pace, and that of earlier jobs with the same generator."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, func, select, true

from store.clock import database_now
from store.tables import jobs, shards, steps

#: Earlier steps of the same name that the typical duration is taken from.
_HISTORY = 20


def seconds_left(connection: Connection, job: Any) -> float | None:
    """Seconds until the end of `job` (a row of `jobs`), or None while some step to come was never measured."""
    rows = connection.execute(select(steps).where(steps.c.job_id == job.id).order_by(steps.c.position)).all()
    left = 0.0
    for step in rows:
        if step.state == "succeeded":
            continue
        part = _running(connection, job, step) if step.state == "running" else None
        if part is None:
            part = typical_seconds(connection, job, step)
        if part is None:
            return None
        left += part
    return left


def _running(connection: Connection, job: Any, step: Any) -> float | None:
    row = connection.execute(
        select(
            func.sum(shards.c.done).label("done"),
            func.sum(shards.c.total).label("total"),
            (database_now() - step.started_at).label("elapsed"),
        ).where(shards.c.job_id == job.id, shards.c.step == step.name)
    ).one()
    if not row.done or not row.total or row.elapsed <= 0:
        return None
    # Not all shards of images may be planned yet.
    total = max(int(row.total), job.total) if step.counts_images else int(row.total)
    return float(max(0, total - row.done)) * float(row.elapsed) / float(row.done)


def typical_seconds(connection: Connection, job: Any, step: Any) -> float | None:
    """Mean duration of the step in earlier jobs with this generator, per image where it counts images. Kinds of job
    that have a step in common do the same in it.
    """
    duration = steps.c.finished_at - steps.c.started_at
    comparable = jobs.c.total > 0 if step.counts_images else true()
    recent = (
        select((duration / jobs.c.total if step.counts_images else duration).label("seconds"))
        .join(jobs, and_(jobs.c.id == steps.c.job_id))
        .where(
            jobs.c.tenant == job.tenant,
            jobs.c.spec["generator"].as_string() == job.spec.get("generator"),
            steps.c.name == step.name,
            steps.c.state == "succeeded",
            comparable,
        )
        .order_by(steps.c.finished_at.desc())
        .limit(_HISTORY)
        .subquery()
    )
    mean = connection.execute(select(func.avg(recent.c.seconds))).scalar()
    if mean is None:
        return None
    return float(mean) * (job.total if step.counts_images else 1)
