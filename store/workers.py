"""Workers of the deployment: each supervisor reports every few seconds, and the API is ready once one has reported.

A worker publishes with it what the API cannot see: whether it has the ImageNet weights that labelling jobs need for a
generator without a perceptual network of its own.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from store.database.clock import database_now
from store.database.database import Database
from store.tables import workers as table

#: A worker that has not been heard for this long is not there.
SILENT_AFTER_SECONDS = 60.0


def worker_alive(db: Database, worker_id: str, *, perceptual: bool | None = None) -> None:
    """Say that the worker is there. Call it at the start and at least every 20 s.

    perceptual: whether it has ImageNet weights for LPIPS; None where that is not known.
    """
    dialect = sqlite if db.is_sqlite else postgresql
    with db.write() as connection:
        known = update(table).where(table.c.id == worker_id).values(seen_at=database_now(), perceptual=perceptual)
        if not connection.execute(known).rowcount:
            fresh = dialect.insert(table).values(id=worker_id, seen_at=database_now(), perceptual=perceptual)
            connection.execute(fresh.on_conflict_do_nothing())


def worker_gone(db: Database, worker_id: str) -> None:
    """Say that the worker has ended in order."""
    with db.write() as connection:
        connection.execute(delete(table).where(table.c.id == worker_id))


def live_workers(db: Database) -> int:
    """Return how many workers reported lately."""
    with db.read() as connection:
        lately = table.c.seen_at > database_now() - SILENT_AFTER_SECONDS
        return int(connection.execute(select(func.count()).select_from(table).where(lately)).scalar_one())


def no_worker_has_perceptual_weights(connection: Connection) -> bool:
    """Whether workers were heard lately, and each of them has published that it has no ImageNet weights for LPIPS."""
    lately = table.c.seen_at > database_now() - SILENT_AFTER_SECONDS
    published = connection.execute(select(table.c.perceptual).where(lately)).scalars().all()
    return bool(published) and all(one is False for one in published)
