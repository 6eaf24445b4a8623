"""One POST, one effect: a key that a caller sends twice gives the same resource twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from store.database.clock import database_now
from store.database.database import Database
from store.errors import IdempotencyMismatch, StoreUnavailable
from store.tables import idempotency_keys as table


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's key (≤ 255 characters) and the SHA-256 of method, path and body that came with it."""

    key: str
    fingerprint: str

    @staticmethod
    def of(key: str, method: str, path: str, body: bytes) -> IdempotencyKey:
        """The key of one request."""
        return IdempotencyKey(key, sha256(b"\n".join((method.encode(), path.encode(), body))).hexdigest())


@dataclass(frozen=True, slots=True)
class Replay:
    """Result that the key already has, and the first answer where it was remembered."""

    resource_id: str
    answer: dict[str, Any] | None


def find(connection: Connection, tenant: str, key: IdempotencyKey | None) -> Replay | None:
    """Return what `key` made before, if anything. Raises IdempotencyMismatch when it came with another body."""
    if key is None:
        return None
    row = connection.execute(select(table).where(table.c.tenant == tenant, table.c.key == key.key)).one_or_none()
    if row is None:
        return None
    if row.fingerprint != key.fingerprint:
        raise IdempotencyMismatch("this idempotency key was used with another request")
    return Replay(row.resource_id, row.answer)


def keep(connection: Connection, tenant: str, key: IdempotencyKey | None, resource_id: str) -> None:
    """Tie `key` to what it made, in the transaction that makes it. Raises sqlalchemy's IntegrityError in a race."""
    if key is not None:
        connection.execute(
            insert(table).values(
                tenant=tenant,
                key=key.key,
                fingerprint=key.fingerprint,
                resource_id=resource_id,
                created_at=database_now(),
            )
        )


def unsettled() -> StoreUnavailable:
    """Return the error for a request whose second try met a conflict as its first did: what the other request made was
    not found either.
    """
    return StoreUnavailable("the database refused this write twice, as another request wrote the same at once; retry")


def remember_answer(db: Database, tenant: str, key: IdempotencyKey, answer: Mapping[str, Any]) -> None:
    """Keep the first answer (any JSON object), so that a replay says the same even after the resource moved on."""
    with db.write() as connection:
        connection.execute(
            update(table)
            .where(table.c.tenant == tenant, table.c.key == key.key, table.c.answer.is_(None))
            .values(answer=dict(answer))
        )


def sweep(db: Database) -> int:
    """Forget keys older than the settings allow; the number forgotten."""
    seconds = db.settings.limits.idempotency_hours * 3600
    with db.write() as connection:
        return connection.execute(delete(table).where(table.c.created_at < database_now() - seconds)).rowcount
