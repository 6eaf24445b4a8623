"""API keys: random, kept only as a digest, scoped, expiring, revocable."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, cast

from sqlalchemy import bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from store.database import idempotency
from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.idempotency import IdempotencyKey
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import NotFound
from store.ids import new_id
from store.tables import api_keys as table
from store.tables import tenants
from store.tenancy.tenants import effective

Scope = Literal["read", "write", "admin"]
#: Each scope holds those before it.
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
#: Every key begins with this, so that scanners of leaked secrets can tell.
PREFIX = "ofh_"
#: A key's last use is written down at most this often.
_USE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `hint`: its first characters, to tell keys apart."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A key; `secret` is shown this once, and never when `replayed`."""

    key: ApiKey
    secret: str | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """Caller of a request: a tenant, by which key, and what that key may do; how many requests the tenant has each
    minute.

    A service without keys has an empty `key_id` and counts no requests.
    """

    tenant: str
    key_id: str
    scopes: frozenset[Scope]
    requests_per_minute: int | None = None


def create_key(
    db: Database,
    *,
    tenant: str,
    name: str,
    scopes: Iterable[Scope],
    days: float | None,
    idempotency_key: IdempotencyKey | None = None,
) -> CreatedKey:
    """A new key of the tenant, ending after `days` (None: never). Raises IdempotencyMismatch, StoreUnavailable."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key_id = new_id("key")
    values = {
        "id": key_id,
        "tenant": tenant,
        "name": name,
        "scopes": [scope for scope in SCOPES if scope in _with_lesser(scopes)],
        "digest": digest_of(secret),
        "hint": secret[:10],
    }
    expiry = None if days is None else database_now() + days * 86400.0
    for _ in range(2):
        try:
            with db.write() as connection:
                replay = idempotency.find(connection, tenant, idempotency_key)
                if replay is None:
                    idempotency.keep(connection, tenant, idempotency_key, key_id)
                    connection.execute(insert(table).values(created_at=database_now(), expires_at=expiry, **values))
            break
        except IntegrityError:
            continue
    else:
        raise idempotency.unsettled()
    if replay is not None:
        return CreatedKey(get_key(db, replay.resource_id, tenant=tenant), None, True)
    return CreatedKey(get_key(db, key_id, tenant=tenant), secret, False)


_NOW = database_now()
# Of every request, so built once. Looked up by digest: how long it takes says nothing about the key.
_IDENTIFY = (
    select(
        table.c.id,
        table.c.tenant,
        table.c.scopes,
        or_(table.c.last_used_at.is_(None), table.c.last_used_at < _NOW - _USE_SECONDS).label("stale"),
        tenants.c.limits,
    )
    .outerjoin(tenants, tenants.c.id == table.c.tenant)
    .where(
        table.c.digest == bindparam("digest"),
        table.c.revoked_at.is_(None),
        or_(table.c.expires_at.is_(None), table.c.expires_at > _NOW),
    )
)


def identify(db: Database, secret: str) -> Caller | None:
    """Whose key this is; None for one that is unknown, revoked or expired. Asked of the database each time: a key that
    was ended opens nothing any more, whichever process ended it.
    """
    if not secret.startswith(PREFIX) or len(secret) > 200:
        return None
    with db.read() as connection:
        row = connection.execute(_IDENTIFY, {"digest": digest_of(secret)}).one_or_none()
    if row is None:
        return None
    if row.stale:
        with db.write() as connection:
            connection.execute(update(table).where(table.c.id == row.id).values(last_used_at=_NOW))
    rate = effective(row.limits, db.settings.limits)["requests_per_minute"]
    return Caller(row.tenant, row.id, frozenset(row.scopes), rate)


def get_key(db: Database, key_id: str, *, tenant: str) -> ApiKey:
    """One key. Raises NotFound."""
    with db.read() as connection:
        row = connection.execute(select(table).where(table.c.id == key_id, table.c.tenant == tenant)).one_or_none()
    if row is None:
        raise NotFound(f"no API key {key_id!r}")
    return _key(row)


def list_keys(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[ApiKey]:
    """Keys, newest first, revoked ones included. Raises InvalidRequest for a bad token."""
    with db.read() as connection:
        query = select(table).where(table.c.tenant == tenant)
        return page(connection, query, table, _key, page_size=page_size, page_token=page_token)


def revoke_key(db: Database, key_id: str, *, tenant: str) -> None:
    """End a key now; repeating it changes nothing. Raises NotFound."""
    with db.write() as connection:
        mine = (table.c.id == key_id) & (table.c.tenant == tenant)
        if connection.execute(select(table.c.id).where(mine)).first() is None:
            raise NotFound(f"no API key {key_id!r}")
        connection.execute(update(table).where(mine, table.c.revoked_at.is_(None)).values(revoked_at=database_now()))


def digest_of(secret: str) -> str:
    """Return what is kept of a key. A plain SHA-256 is enough: the key has 256 random bits and cannot be guessed."""
    return sha256(secret.encode()).hexdigest()


def _with_lesser(scopes: Iterable[Scope]) -> set[Scope]:
    highest = max((SCOPES.index(scope) for scope in scopes), default=-1)
    return set(SCOPES[: highest + 1])


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=tuple(row.scopes),
        hint=row.hint,
        created_at=cast(datetime, to_datetime(row.created_at)),
        expires_at=to_datetime(row.expires_at),
        revoked_at=to_datetime(row.revoked_at),
        last_used_at=to_datetime(row.last_used_at),
    )
