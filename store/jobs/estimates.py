"""When a job will be done, from what was measured: its own pace, and that of earlier jobs with the same generator."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, or_, select

from store.clock import database_now
from store.jobs.progress import Progress, StepProgress
from store.tables import jobs, steps

#: Earlier steps of the same name that the typical duration is taken from.
_HISTORY = 20
_NOW = select(database_now())


def _pace() -> Select[Any]:
    """Of each step of a job: the mean duration in earlier jobs of its tenant with its generator, per image where it
    counts images. Kinds of job that have a step in common do the same in it.
    """
    this, earlier = steps.alias("this"), steps.alias("earlier")
    duration = earlier.c.finished_at - earlier.c.started_at
    recent = (
        select((duration / case((this.c.counts_images, jobs.c.total), else_=1)).label("seconds"))
        .join_from(earlier, jobs, jobs.c.id == earlier.c.job_id)
        .where(
            earlier.c.tenant == bindparam("tenant", type_=earlier.c.tenant.type),
            earlier.c.generator == bindparam("generator", type_=earlier.c.generator.type),
            earlier.c.name == this.c.name,
            earlier.c.finished_at.is_not(None),
            earlier.c.state == "succeeded",
            or_(~this.c.counts_images, jobs.c.total > 0),
        )
        .order_by(earlier.c.finished_at.desc())
        .limit(_HISTORY)
        .correlate(this)
        .subquery()
    )
    mean = select(func.avg(recent.c.seconds)).correlate(this).scalar_subquery()
    return select(this.c.name, mean).where(this.c.job_id == bindparam("job", type_=this.c.job_id.type))


_PACE = _pace()


class Estimates:
    """Estimates for any number of jobs, read in one transaction: what jobs have in common is asked for once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._paces: dict[tuple[str, str, str], dict[str, float | None]] = {}

    @cached_property
    def now(self) -> float:
        """The database's clock, at the first question."""
        return float(self._connection.execute(_NOW).scalar_one())

    def seconds_left(self, job: Any, progress: Progress) -> float | None:
        """Seconds until the end of `job` (a row of `jobs`), or None while some step to come was never measured."""
        left = 0.0
        for step in progress.steps:
            if step.state == "succeeded":
                continue
            part = self._running(job, step)
            if part is None:
                part = self._typical(job, step)
            if part is None:
                return None
            left += part
        return left

    def _running(self, job: Any, step: StepProgress) -> float | None:
        sums = step.sums
        if step.state != "running" or sums is None or not sums.done or not sums.total or step.started_at is None:
            return None
        elapsed = self.now - step.started_at
        if elapsed <= 0:
            return None
        # Not all shards of images may be planned yet.
        total = max(sums.total, job.total) if step.counts_images else sums.total
        return float(max(0, total - sums.done) * elapsed / sums.done)

    def _typical(self, job: Any, step: StepProgress) -> float | None:
        generator = job.spec.get("generator") or ""
        alike = (job.tenant, generator, job.kind)
        if alike not in self._paces:
            asked = {"tenant": job.tenant, "generator": generator, "job": job.id}
            found = self._connection.execute(_PACE, asked)
            self._paces[alike] = {row[0]: row[1] for row in found}
        seconds = self._paces[alike].get(step.name)
        if seconds is None:
            return None
        return float(seconds) * (job.total if step.counts_images else 1)
