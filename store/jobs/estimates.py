"""When a job will be done, from what was measured: its own pace, and that of earlier jobs with the same generator."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import Connection, and_, func, select, true

from store.clock import database_now
from store.jobs.progress import Progress, Sums
from store.tables import jobs, steps

#: Earlier steps of the same name that the typical duration is taken from.
_HISTORY = 20


class Estimates:
    """Estimates for any number of jobs, read in one transaction: what jobs have in common is asked for once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._typical: dict[tuple[object, ...], float | None] = {}

    @cached_property
    def now(self) -> float:
        """The database's clock, at the first question."""
        return float(self._connection.execute(select(database_now())).scalar_one())

    def seconds_left(self, job: Any, progress: Progress) -> float | None:
        """Seconds until the end of `job` (a row of `jobs`), or None while some step to come was never measured."""
        left = 0.0
        for step in progress.steps:
            if step.state == "succeeded":
                continue
            sums = progress.sums.get(step.name) if step.state == "running" else None
            part = self._running(job, step, sums) if sums is not None else None
            if part is None:
                part = self._typical_seconds(job, step)
            if part is None:
                return None
            left += part
        return left

    def _running(self, job: Any, step: Any, sums: Sums) -> float | None:
        elapsed = self.now - step.started_at
        if not sums.done or not sums.total or elapsed <= 0:
            return None
        # Not all shards of images may be planned yet.
        total = max(sums.total, job.total) if step.counts_images else sums.total
        return float(max(0, total - sums.done) * elapsed / sums.done)

    def _typical_seconds(self, job: Any, step: Any) -> float | None:
        generator = job.spec.get("generator")
        alike = (job.tenant, generator, step.name, step.counts_images)
        if alike not in self._typical:
            self._typical[alike] = _typical(self._connection, job.tenant, generator, step)
        typical = self._typical[alike]
        return typical if typical is None or not step.counts_images else typical * job.total


def _typical(connection: Connection, tenant: str, generator: str | None, step: Any) -> float | None:
    """Mean duration of the step in earlier jobs with this generator, per image where it counts images. Kinds of job
    that have a step in common do the same in it.
    """
    duration = steps.c.finished_at - steps.c.started_at
    comparable = jobs.c.total > 0 if step.counts_images else true()
    recent = (
        select((duration / jobs.c.total if step.counts_images else duration).label("seconds"))
        .join(jobs, and_(jobs.c.id == steps.c.job_id))
        .where(
            jobs.c.tenant == tenant,
            jobs.c.spec["generator"].as_string() == generator,
            steps.c.name == step.name,
            steps.c.state == "succeeded",
            comparable,
        )
        .order_by(steps.c.finished_at.desc())
        .limit(_HISTORY)
        .subquery()
    )
    mean = connection.execute(select(func.avg(recent.c.seconds))).scalar()
    return None if mean is None else float(mean)
