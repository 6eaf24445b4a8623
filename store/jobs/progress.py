"""How far jobs are: their steps and the sums of their shards, read for a whole page of jobs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, case, func, select

from store.tables import jobs, shards, steps


@dataclass(frozen=True, slots=True)
class Sums:
    """`done` of `total` over the shards of a step; `succeeded`: the part of `done` that is committed."""

    done: int
    total: int
    succeeded: int


@dataclass(slots=True)
class Progress:
    """A job's rows of `steps` in order, the sums of those that have shards, and the most attempts at any shard."""

    steps: list[Any] = field(default_factory=list)
    sums: dict[str, Sums] = field(default_factory=dict)
    attempts: int = 0


def progress_of(connection: Connection, job_ids: Sequence[str]) -> dict[str, Progress]:
    """The progress of each job, in two queries however many they are."""
    found = {job_id: Progress() for job_id in job_ids}
    ordered = select(steps).where(steps.c.job_id.in_(job_ids)).order_by(steps.c.job_id, steps.c.position)
    for row in connection.execute(ordered):
        found[row.job_id].steps.append(row)
    succeeded = case((shards.c.state == "succeeded", shards.c.done), else_=0)
    summed = select(
        shards.c.job_id,
        shards.c.step,
        func.sum(shards.c.done).label("done"),
        func.sum(shards.c.total).label("total"),
        func.sum(succeeded).label("succeeded"),
        func.max(shards.c.attempt).label("attempts"),
    )
    for row in connection.execute(summed.where(shards.c.job_id.in_(job_ids)).group_by(shards.c.job_id, shards.c.step)):
        progress = found[row.job_id]
        progress.sums[row.step] = Sums(int(row.done), int(row.total), int(row.succeeded))
        progress.attempts = max(progress.attempts, row.attempts)
    return found


def queue_positions(connection: Connection, job_ids: Sequence[str]) -> dict[str, int]:
    """Of those that wait, the place in the line of all that wait: 1 is next."""
    if not job_ids:
        return {}
    order = (jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id)
    place = func.row_number().over(order_by=order).label("place")
    line = select(jobs.c.id, place).where(jobs.c.state == "queued").subquery()
    return {row.id: row.place for row in connection.execute(select(line).where(line.c.id.in_(job_ids)))}
