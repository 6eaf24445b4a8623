"""Removes what has had its time: orphans of attempts that never committed, expired data, old idempotency keys."""

from __future__ import annotations

import itertools

from sqlalchemy import select

from store.database import idempotency
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.datasets import expired_datasets
from store.resources.files import remove_files
from store.tables import files, shards
from store.uploads.direct_parts import unfinished_keys
from store.uploads.parts import forget_abandoned
from store.webhooks import deliveries as webhooks

#: Objects looked up in one query.
_BATCH = 500


def work_prefix(shard_id: str, attempt: int) -> str:
    """Keys of everything that one attempt writes begin with this."""
    return f"work/{shard_id}/{attempt}/"


def discard(db: Database, objects: ObjectStore, shard_id: str, attempt: int) -> None:
    """Delete what an attempt that is over wrote, but for what something refers to (its checkpoint)."""
    keys = [found.key for found in objects.list(work_prefix(shard_id, attempt))]
    for key in _without_row(db, keys):
        objects.delete(key)


def sweep(db: Database, objects: ObjectStore) -> int:
    """One round; the number of objects removed. Safe beside running workers and other sweepers."""
    idempotency.sweep(db)
    webhooks.sweep(db)
    removed = _sweep_expired(db, objects) + forget_abandoned(db, objects)
    # Twice a lease: an object may wait for its row for as long as a commit takes, never that long.
    age = 2 * db.settings.worker.lease_seconds
    removed += objects.sweep_unfinished(max(age, 3600.0), keep=unfinished_keys(db))
    # By the objects' own clock: ours may be wrong, and what is young may still be waiting for its row.
    now = objects.clock()
    listed = (found for found in objects.list() if now - found.modified_at > age)
    while batch := list(itertools.islice(listed, _BATCH)):
        for key in _orphans(db, [found.key for found in batch]):
            objects.delete(key)
            removed += 1
    return removed


def _sweep_expired(db: Database, objects: ObjectStore) -> int:
    with db.write() as connection:
        ended = expired_datasets(connection)
        keys = [key for both in ended for resource in both for key in remove_files(connection, resource)]
    for key in keys:
        objects.delete(key)
    return len(keys)


def _orphans(db: Database, keys: list[str]) -> list[str]:
    """Of `keys`, those without a row in `files` and not of an attempt that may still commit."""
    # Running attempts are read first: one that commits in between is then found among the files.
    with db.read() as connection:
        running = connection.execute(select(shards.c.id, shards.c.attempt).where(shards.c.state == "running")).all()
    alive = tuple(work_prefix(row.id, row.attempt) for row in running)
    return [key for key in _without_row(db, keys) if not key.startswith(alive)]


def _without_row(db: Database, keys: list[str]) -> list[str]:
    with db.read() as connection:
        known = set(connection.execute(select(files.c.key).where(files.c.key.in_(keys))).scalars())
    return [key for key in keys if key not in known]
