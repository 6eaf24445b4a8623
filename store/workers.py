"""Which workers are there: each supervisor says so every few seconds, and the API is ready once one has been heard."""

from __future__ import annotations

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from store.clock import database_now
from store.db import Database
from store.tables import workers as table

#: A worker that has not been heard for this long is not there.
SILENT_AFTER_SECONDS = 60.0


def worker_alive(db: Database, worker_id: str) -> None:
    """Say that the worker is there. Call it at the start and at least every 20 s."""
    dialect = sqlite if db.is_sqlite else postgresql
    with db.write() as connection:
        known = update(table).where(table.c.id == worker_id).values(seen_at=database_now())
        if not connection.execute(known).rowcount:
            fresh = dialect.insert(table).values(id=worker_id, seen_at=database_now())
            connection.execute(fresh.on_conflict_do_nothing())


def worker_gone(db: Database, worker_id: str) -> None:
    """Say that the worker has ended in order."""
    with db.write() as connection:
        connection.execute(delete(table).where(table.c.id == worker_id))


def live_workers(db: Database) -> int:
    """How many workers were heard lately."""
    with db.read() as connection:
        lately = table.c.seen_at > database_now() - SILENT_AFTER_SECONDS
        return int(connection.execute(select(func.count()).select_from(table).where(lately)).scalar_one())
