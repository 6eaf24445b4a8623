"""Hints to workers that there is work: written with the work itself, published later, repeated when lost."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, insert, or_, select, update

from store.database.clock import database_now
from store.database.database import Database
from store.jobs.states import CLAIMABLE_JOB_STATES
from store.tables import jobs, outbox, shards

#: Hints published in one round.
_BATCH = 200


def publish_hints(db: Database, ring: Callable[[str, str], None]) -> int:
    """Hand waiting hints (shard id and queue) to `ring`, then forget them; the number handed over.

    A death between the two rings twice, which is harmless. What `ring` raises ends the round; the hint stays.
    """
    with db.read() as connection:
        hints = select(outbox.c.id, outbox.c.shard_id, shards.c.queue).join(shards, shards.c.id == outbox.c.shard_id)
        waiting = connection.execute(hints.order_by(outbox.c.id).limit(_BATCH)).all()
    for number, row in enumerate(waiting):
        try:
            ring(row.shard_id, row.queue)
        except BaseException:
            _forget(db, [done.id for done in waiting[:number]])
            raise
    _forget(db, [row.id for row in waiting])
    return len(waiting)


def ring_again(db: Database, *, after_seconds: float) -> int:
    """New hints for shards that are runnable but were last rung for longer ago than this; their number."""
    quiet = (
        select(shards.c.id)
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(
            shards.c.state == "pending",
            shards.c.not_before <= database_now(),
            jobs.c.state.in_(CLAIMABLE_JOB_STATES),
            or_(shards.c.rung_at.is_(None), shards.c.rung_at < database_now() - after_seconds),
        )
        .limit(_BATCH)
    )
    with db.read() as connection:
        # Most of the time there is none, and then nobody should wait for a lock.
        if connection.execute(quiet).first() is None:
            return 0
    quiet = quiet.with_for_update(of=shards, skip_locked=True)
    with db.write() as connection:
        found = (
            connection.execute(
                update(shards).where(shards.c.id.in_(quiet)).values(rung_at=database_now()).returning(shards.c.id)
            )
            .scalars()
            .all()
        )
        if found:
            connection.execute(insert(outbox).values(created_at=database_now()), [{"shard_id": id_} for id_ in found])
        return len(found)


def _forget(db: Database, ids: list[int]) -> None:
    if ids:
        with db.write() as connection:
            connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))
