"""Names that point at a tenant's newest good dataset, so that a pipeline need not know its id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Connection, and_, case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.errors import Gone, InvalidRequest, NotFound, Problem
from store.tables import dataset_aliases as table
from store.tables import datasets


@dataclass(frozen=True, slots=True)
class Alias:
    """A name and the dataset it points at since `moved_at`. `gone`: how that dataset became unreadable, or None."""

    name: str
    dataset_id: str
    moved_at: datetime
    gone: Literal["deleted", "expired"] | None = None


#: How a dataset came to be unreadable: `deleted`, `expired`, or null.
_GONE = case(
    (datasets.c.deleted_at.is_not(None), "deleted"),
    (and_(datasets.c.expires_at <= database_now(), ~datasets.c.pinned), "expired"),
)


def _anything(_current: Alias | None) -> None:
    """No condition."""


def point(connection: Connection, *, tenant: str, name: str, dataset_id: str) -> None:
    """Let a name point at a dataset, in the transaction that finishes the dataset."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"dataset_id": dataset_id, "moved_at": database_now()}
    statement = dialect.insert(table).values(tenant=tenant, name=name, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["tenant", "name"], set_=values))


def set_alias(
    db: Database, name: str, dataset_id: str, *, tenant: str, check: Callable[[Alias | None], None] = _anything
) -> Alias:
    """Let a name point at a ready dataset, an older one for example. Raises InvalidRequest, and what `check` raises of
    the alias as it was, while nobody else can move it.
    """
    with db.write() as connection:
        check(_held(connection, name, tenant))
        mine = datasets.c.id == dataset_id, datasets.c.tenant == tenant
        state = connection.execute(select(datasets.c.state).where(*mine)).scalar()
        gone = connection.execute(select(_GONE).where(*mine)).scalar()
        if state != "ready" or gone:
            found = f"is {gone}" if gone else "is not ready"
            what = f"no dataset {dataset_id!r}" if state is None else f"the dataset {dataset_id!r} {found}"
            raise InvalidRequest("the alias cannot point there", [Problem(what, "/dataset")])
        point(connection, tenant=tenant, name=name, dataset_id=dataset_id)
    return get_alias(db, name, tenant=tenant)


def get_alias(db: Database, name: str, *, tenant: str) -> Alias:
    """One alias. Raises NotFound, Gone when its dataset was deleted or has expired."""
    with db.read() as connection:
        row = connection.execute(
            select(table, _GONE.label("gone"))
            .join(datasets, datasets.c.id == table.c.dataset_id)
            .where(table.c.name == name, table.c.tenant == tenant)
        ).one_or_none()
    if row is None:
        raise NotFound(f"no alias {name!r}")
    if row.gone:
        raise Gone(f"the alias {name!r} points at {row.dataset_id}, which is {row.gone}; set it to another dataset")
    return _alias(row)


def list_aliases(db: Database, *, tenant: str) -> list[Alias]:
    """Every alias of the tenant, by name."""
    with db.read() as connection:
        rows = connection.execute(
            select(table, _GONE.label("gone"))
            .join(datasets, datasets.c.id == table.c.dataset_id)
            .where(table.c.tenant == tenant)
            .order_by(table.c.name)
        ).all()
    return [replace(_alias(row), gone=row.gone) for row in rows]


def delete_alias(db: Database, name: str, *, tenant: str, check: Callable[[Alias], None] = _anything) -> None:
    """Forget a name; the dataset stays. Raises NotFound, and what `check` raises of the alias as it was."""
    with db.write() as connection:
        current = _held(connection, name, tenant)
        if current is None:
            raise NotFound(f"no alias {name!r}")
        check(current)
        connection.execute(delete(table).where(table.c.name == name, table.c.tenant == tenant))


def _held(connection: Connection, name: str, tenant: str) -> Alias | None:
    mine = select(table).where(table.c.name == name, table.c.tenant == tenant).with_for_update()
    row = connection.execute(mine).one_or_none()
    return None if row is None else _alias(row)


def _alias(row: Any) -> Alias:
    return Alias(row.name, row.dataset_id, cast(datetime, to_datetime(row.moved_at)))
