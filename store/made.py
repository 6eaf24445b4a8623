"""Label sets, inversions and labelers: made by a job once for each digest of what went into them, then used again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from store.clock import database_now, to_datetime
from store.db import Database
from store.errors import NotFound
from store.paging import Page, page
from store.tables import inversions, label_sets, labelers

Kind = Literal["label_set", "inversion", "labeler"]
_TABLES: Mapping[Kind, Table] = {"label_set": label_sets, "inversion": inversions, "labeler": labelers}
#: Prefix of each kind's ids.
PREFIXES: Mapping[Kind, str] = {"label_set": "ls", "inversion": "inv", "labeler": "lab"}


@dataclass(frozen=True, slots=True)
class Made:
    """One label set, inversion or labeler.

    `digest`: SHA-256 over everything that went in; equal digests share one row. `info`: its report (classes and counts
    of a label set, reconstruction of an inversion, held-out score of a labeler). `parents`: ids it was made from
    (`label_set_id`, `generator_id`, `inversion_id`).
    """

    kind: Kind
    id: str
    digest: str
    info: dict[str, Any]
    created_at: datetime
    parents: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewMade:
    """What a step asks to be recorded when its result commits."""

    kind: Kind
    id: str
    digest: str
    info: dict[str, Any]
    parents: dict[str, str] = field(default_factory=dict)


def get_label_set(db: Database, label_set_id: str, *, tenant: str) -> Made:
    """One label set. Raises NotFound."""
    return _get(db, "label_set", label_set_id, tenant)


def get_inversion(db: Database, inversion_id: str, *, tenant: str) -> Made:
    """One inversion. Raises NotFound."""
    return _get(db, "inversion", inversion_id, tenant)


def get_labeler(db: Database, labeler_id: str, *, tenant: str) -> Made:
    """One labeler. Raises NotFound."""
    return _get(db, "labeler", labeler_id, tenant)


def list_label_sets(db: Database, *, tenant: str, page_size: int = 50, page_token: str | None = None) -> Page[Made]:
    """Label sets, newest first. Raises InvalidRequest for a bad token."""
    return _list(db, "label_set", tenant, page_size, page_token)


def list_labelers(db: Database, *, tenant: str, page_size: int = 50, page_token: str | None = None) -> Page[Made]:
    """Labelers, newest first. Raises InvalidRequest for a bad token."""
    return _list(db, "labeler", tenant, page_size, page_token)


def find_made(db: Database, kind: Kind, digest: str, *, tenant: str) -> Made | None:
    """What was made from the same inputs before, or None."""
    table = _TABLES[kind]
    with db.read() as connection:
        row = connection.execute(select(table).where(table.c.tenant == tenant, table.c.digest == digest)).one_or_none()
    return None if row is None else _made(kind, row)


def add_made(connection: Connection, tenant: str, new: NewMade) -> str:
    """Record `new`, or find what another job recorded for the same digest first; the id that stands."""
    table = _TABLES[new.kind]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"id": new.id, "tenant": tenant, "digest": new.digest, "info": new.info, **new.parents}
    connection.execute(dialect.insert(table).values(created_at=database_now(), **values).on_conflict_do_nothing())
    standing: str = connection.execute(
        select(table.c.id).where(table.c.tenant == tenant, table.c.digest == new.digest)
    ).scalar_one()
    return standing


def _get(db: Database, kind: Kind, identifier: str, tenant: str) -> Made:
    table = _TABLES[kind]
    with db.read() as connection:
        row = connection.execute(select(table).where(table.c.id == identifier, table.c.tenant == tenant)).one_or_none()
    if row is None:
        raise NotFound(f"no {kind.replace('_', ' ')} {identifier!r}")
    return _made(kind, row)


def _list(db: Database, kind: Kind, tenant: str, page_size: int, page_token: str | None) -> Page[Made]:
    table = _TABLES[kind]
    with db.read() as connection:
        query = select(table).where(table.c.tenant == tenant)
        return page(connection, query, table, lambda row: _made(kind, row), page_size=page_size, page_token=page_token)


def _made(kind: Kind, row: Any) -> Made:
    parents = {name: value for name, value in row._mapping.items() if name.endswith("_id")}
    return Made(kind, row.id, row.digest, row.info, cast(datetime, to_datetime(row.created_at)), parents)
