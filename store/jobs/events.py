"""The log of a job: numbered from 1 without gaps, written in the transaction that it tells about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, insert, select, update

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.errors import NotFound
from store.tables import events as events_table
from store.tables import jobs

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's log: `name` is `noun.verb`, `data` holds its fields."""

    number: int
    at: datetime
    level: str
    name: str
    data: dict[str, Any]


class NewEvent(NamedTuple):
    """An event to be recorded."""

    name: str
    data: dict[str, Any]
    level: Level = "info"


def record(connection: Connection, job_id: str, name: str, level: Level = "info", **data: Any) -> None:
    """Append an event inside the caller's transaction."""
    # The counter on the job's row makes numbers gapless in commit order, which a sequence would not.
    number = connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(last_event=jobs.c.last_event + 1).returning(jobs.c.last_event)
    ).scalar_one()
    _write(connection, job_id, number, NewEvent(name, data, level))


def record_first(connection: Connection, job_id: str, name: str, **data: Any) -> None:
    """Begin the log of a job whose row was made with `last_event` = 1, inside the caller's transaction."""
    _write(connection, job_id, 1, NewEvent(name, data))


_ADD = insert(events_table).values(at=database_now())


def _write(connection: Connection, job_id: str, number: int, event: NewEvent) -> None:
    written = {"job_id": job_id, "number": number, "level": event.level, "name": event.name, "data": event.data}
    connection.execute(_ADD, written)


def events(db: Database, job_id: str, *, tenant: str, after: int = 0, limit: int = 200) -> list[Event]:
    """Up to `limit` events with a number above `after`, oldest first. Raises NotFound."""
    with db.read() as connection:
        owner = connection.execute(select(jobs.c.tenant).where(jobs.c.id == job_id)).scalar()
        if owner != tenant:
            raise NotFound(f"no job {job_id!r}")
        rows = connection.execute(
            select(events_table)
            .where(events_table.c.job_id == job_id, events_table.c.number > after)
            .order_by(events_table.c.number)
            .limit(limit)
        ).all()
    return [Event(row.number, _time(row.at), row.level, row.name, row.data) for row in rows]


def _time(seconds: float) -> datetime:
    at = to_datetime(seconds)
    assert at is not None
    return at
