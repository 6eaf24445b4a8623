"""Numbers of the whole deployment for those who run it: what waits, what runs, how fast, what is lost."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from store.database.clock import database_now
from store.jobs.states import ACTIVE_JOB_STATES
from store.tables import jobs, outbox, shards, steps

#: Speeds are those of shards that ended within so many seconds.
RECENT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Shards of a step that ended lately: how many, their seconds altogether, and the images that they made."""

    step: str
    shards: int
    seconds: float
    images: int


@dataclass(frozen=True, slots=True)
class Figures:
    """`waiting`, `running`: shards by queue. `active_jobs`: by state. `poisoned`: by step.
    `failures`: failed attempts of shards that ended lately, by the last error's code; `worker_lost` are lost leases.
    `hints`, `oldest_hint_seconds`: the outbox. `oldest_waiting_seconds`: how long the first runnable shard has waited.
    """

    waiting: dict[str, int]
    running: dict[str, int]
    active_jobs: dict[str, int]
    poisoned: dict[str, int]
    failures: dict[str, int]
    speeds: tuple[Speed, ...]
    hints: int
    oldest_hint_seconds: float
    oldest_waiting_seconds: float


def figures(connection: Connection) -> Figures:
    """All numbers as they are now."""
    now = database_now()
    runnable = [shards.c.state == "pending", shards.c.not_before <= now]
    active = select(jobs.c.state, func.count()).where(jobs.c.state.in_(ACTIVE_JOB_STATES)).group_by(jobs.c.state)
    hints = connection.execute(select(func.count(), func.coalesce(func.max(now - outbox.c.created_at), 0.0))).one()
    waited = select(func.coalesce(func.max(now - shards.c.not_before), 0.0)).where(*runnable)
    return Figures(
        waiting=_counted(connection, "queue", "pending"),
        running=_counted(connection, "queue", "running"),
        active_jobs={row[0]: row[1] for row in connection.execute(active)},
        poisoned=_counted(connection, "step", "poisoned"),
        failures=_failures(connection),
        speeds=_speeds(connection),
        hints=int(hints[0]),
        oldest_hint_seconds=float(hints[1]),
        oldest_waiting_seconds=float(connection.execute(waited).scalar_one()),
    )


def _counted(connection: Connection, column: str, state: str) -> dict[str, int]:
    by = shards.c[column]
    counted = select(by, func.count()).where(shards.c.state == state).group_by(by)
    return {row[0]: row[1] for row in connection.execute(counted)}


def _failures(connection: Connection) -> dict[str, int]:
    counted = (
        select(shards.c.error_code, func.sum(shards.c.failures))
        .where(shards.c.error_code.is_not(None), shards.c.finished_at > database_now() - RECENT_SECONDS)
        .group_by(shards.c.error_code)
    )
    return {row[0]: int(row[1]) for row in connection.execute(counted)}


def _speeds(connection: Connection) -> tuple[Speed, ...]:
    images = func.coalesce(func.sum(case((steps.c.counts_images, shards.c.done), else_=0)), 0)
    lately = (
        select(shards.c.step, func.count(), func.sum(shards.c.finished_at - shards.c.started_at), images)
        .join(steps, (steps.c.job_id == shards.c.job_id) & (steps.c.name == shards.c.step))
        .where(shards.c.state == "succeeded", shards.c.finished_at > database_now() - RECENT_SECONDS)
        .group_by(shards.c.step)
        .order_by(shards.c.step)
    )
    return tuple(Speed(row[0], row[1], float(row[2]), int(row[3])) for row in connection.execute(lately))
