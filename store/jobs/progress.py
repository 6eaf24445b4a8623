"""Progress of jobs: their steps and the sums of their shards, read for a whole page of jobs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, case, func, select, tuple_

from store.jobs.kinds import JobKind
from store.tables import jobs, shards, steps


class Sums(NamedTuple):
    """`done` of `total` over the shards of a step; `succeeded`: the part of `done` that is committed."""

    done: int
    total: int
    succeeded: int


class StepProgress(NamedTuple):
    """A row of `steps`; `sums`: of its shards, None while it has none."""

    name: str
    state: str
    counts_images: bool
    started_at: float | None
    finished_at: float | None
    sums: Sums | None


@dataclass(slots=True)
class Progress:
    """A job's steps in order, and the most attempts at any of its shards."""

    steps: list[StepProgress] = field(default_factory=list)
    attempts: int = 0

    @property
    def counted(self) -> list[Sums]:
        """Of the steps that count images, those that have shards."""
        return [step.sums for step in self.steps if step.counts_images and step.sums is not None]


# Statements that every request needs are built once: building one takes longer than the database does with it.
_STEPS = (
    select(
        steps.c.job_id,
        steps.c.name,
        steps.c.state,
        steps.c.counts_images,
        steps.c.started_at,
        steps.c.finished_at,
        func.sum(shards.c.done),
        func.sum(shards.c.total),
        func.sum(case((shards.c.state == "succeeded", shards.c.done), else_=0)),
        func.max(shards.c.attempt),
    )
    .outerjoin(shards, and_(shards.c.job_id == steps.c.job_id, shards.c.step == steps.c.name))
    .where(steps.c.job_id.in_(bindparam("jobs", expanding=True)))
    .group_by(steps.c.job_id, steps.c.position)
    .order_by(steps.c.job_id, steps.c.position)
)


def progress_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, Progress]:
    """The progress of each job, in one query however many they are."""
    found = {job_id: Progress() for job_id in job_ids}
    for row in connection.execute(_STEPS, {"jobs": job_ids}).all():
        job_id, name, state, counts_images, started_at, finished_at, done, total, succeeded, attempts = row
        sums = None if attempts is None else Sums(int(done), int(total), int(succeeded))
        progress = found[job_id]
        progress.steps.append(StepProgress(name, state, counts_images, started_at, finished_at, sums))
        progress.attempts = max(progress.attempts, attempts or 0)
    return found


def progress_at_birth(kind: JobKind[Any]) -> Progress:
    """Return what `progress_of` finds for a job of which the first shard was just made."""
    first = Sums(0, 0, 0)
    return Progress(
        [
            StepProgress(plan.name, "pending", plan.counts_images, None, None, None if at else first)
            for at, plan in enumerate(kind.steps)
        ]
    )


def _line() -> Select[Any]:
    """The line of all that wait with one priority, from one of them to another. Those before the first are only
    counted, in an index.
    """
    waits = jobs.c.state == "queued"
    priority = bindparam("priority", type_=jobs.c.priority.type)
    first, last = (
        tuple_(bindparam(f"{end}_at", type_=jobs.c.created_at.type), bindparam(f"{end}_id", type_=jobs.c.id.type))
        for end in ("first", "last")
    )
    here, counted = tuple_(jobs.c.created_at, jobs.c.id), select(func.count()).select_from(jobs)
    higher = counted.where(waits, jobs.c.priority > priority).scalar_subquery()
    earlier = counted.where(waits, jobs.c.priority == priority, here < first).scalar_subquery()
    place = func.row_number().over(order_by=(jobs.c.created_at, jobs.c.id))
    return select(jobs.c.id, place + higher + earlier).where(
        waits, jobs.c.priority == priority, here >= first, here <= last
    )


_LINE = _line()


def queue_positions(connection: Connection, waiting: Sequence[Any]) -> dict[str, int]:
    """Of rows of `jobs` that wait, the place in the line of all that wait: 1 is next. A query for each priority."""
    found: dict[str, int] = {}
    for priority in {row.priority for row in waiting}:
        places = sorted((row.created_at, row.id) for row in waiting if row.priority == priority)
        (first_at, first_id), (last_at, last_id) = places[0], places[-1]
        ends = {"first_at": first_at, "first_id": first_id, "last_at": last_at, "last_id": last_id}
        for job_id, place in connection.execute(_LINE, {"priority": priority, **ends}).all():
            found[job_id] = place
    return found
