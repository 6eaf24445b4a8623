"""When a job will be done: from its own pace, that of earlier jobs with the same generator, or typical times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, or_, select

from store.database.clock import database_now
from store.job_kinds import find_step
from store.jobs.job_result import JobResult
from store.jobs.kinds import TypicalSize
from store.jobs.progress import Progress, StepProgress
from store.tables import jobs, label_sets, steps

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
_LABEL_SET = "ls_"
#: A step's start, loading a generator for example, says nothing about its pace: shorter steps hardly change it.
_START_SECONDS = 30.0
_IMAGES = select(label_sets.c.info["images"].as_integer()).where(
    label_sets.c.id == bindparam("label_set"), label_sets.c.tenant == bindparam("tenant")
)


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """`seconds`: None where nothing is known. `rough`: some of it is typical, not measured."""

    seconds: float | None
    rough: bool = False


class Estimates:
    """Estimates for any number of jobs, read in one transaction: what jobs have in common is asked for once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._images: dict[tuple[str, str], int | None] = {}
        self._paces: dict[tuple[str, str, str], dict[str, float | None]] = {}

    @cached_property
    def now(self) -> float:
        """The database's clock, at the first question."""
        return float(self._connection.execute(_NOW).scalar_one())

    def time_left(self, job: Any, progress: Progress) -> TimeLeft:
        """Time until the end of `job` (a row of `jobs`), without its wait in the queue.

        Steps that no earlier job measured are taken at their typical times, in proportion to the pace of this job so
        far; `seconds` is None where nothing typical is known either.
        """
        left, unmeasured = 0.0, []
        for step in progress.steps:
            if step.state == "succeeded":
                continue
            part = self._running(job, step)
            if part is None:
                part = self._typical(job, step)
            if part is None:
                unmeasured.append(step)
            else:
                left += part
        if not unmeasured:
            return TimeLeft(left)
        images = self._labelled_images(job)
        typical = [_typical_seconds(job, step, images) for step in unmeasured]
        if None in typical:
            return TimeLeft(None)
        pace = self._pace_so_far(job, progress, images)
        return TimeLeft(left + pace * sum(filter(None, typical)), rough=True)

    def _labelled_images(self, job: Any) -> int | None:
        """Return how many labelled images the job has; None until they were read."""
        named = str(JobResult.of(job.result).label_set or job.spec.get("labels"))
        if not named.startswith(_LABEL_SET):  # an upload that was not read yet
            return None
        asked = (job.tenant, named)
        if asked not in self._images:
            found = self._connection.execute(_IMAGES, {"tenant": job.tenant, "label_set": named})
            self._images[asked] = found.scalar()
        return self._images[asked]

    def _pace_so_far(self, job: Any, progress: Progress, images: int | None) -> float:
        """Measured time of the job's steps by their typical time; 1 where nothing of it can be compared."""
        for step in reversed(progress.steps):
            typical, left = _typical_seconds(job, step, images), self._running(job, step)
            if typical and left is not None and step.started_at is not None:
                return (self.now - step.started_at + left + _START_SECONDS) / (typical + _START_SECONDS)
        return 1.0

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


def _typical_seconds(job: Any, step: StepProgress, images: int | None) -> float | None:
    """Return the typical time of a step in a job with this request; None where nothing typical is known."""
    plan = find_step(job.kind, step.name)
    if plan is None or plan.typical is None:
        return None
    return plan.typical(job.spec, TypicalSize(images, job.total))
