"""Files of resources: every object in use has a row here, with its size and SHA-256."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select

from store.database.clock import database_now
from store.database.database import Database
from store.errors import NotFound
from store.tables import files as table


@dataclass(frozen=True, slots=True)
class File:
    """A named object of a resource (`ds_…`, `ls_…`, `inv_…`, `lab_…`, `upl_…`, or `job_…` for work in progress).

    `name` is the path that callers see (`shards/000000.tar`); `key` is the object's. `items`: samples inside, if any.
    """

    resource_id: str
    name: str
    key: str
    bytes: int
    sha256: str
    media_type: str
    items: int | None = None


def add_files(connection: Connection, tenant: str, files: Iterable[File]) -> None:
    """Tie objects to their resources, in the transaction that makes the resource."""
    rows = [
        {
            "resource_id": file.resource_id,
            "name": file.name,
            "key": file.key,
            "bytes": file.bytes,
            "sha256": file.sha256,
            "media_type": file.media_type,
            "items": file.items,
            "tenant": tenant,
        }
        for file in files
    ]
    if rows:
        connection.execute(insert(table).values(created_at=database_now()), rows)


def remove_files(connection: Connection, resource_id: str, names: Sequence[str] | None = None) -> list[str]:
    """Untie a resource from its objects, or from those of these names; their keys, to be deleted after the transaction
    (or found by the sweeper).
    """
    gone = delete(table).where(table.c.resource_id == resource_id).returning(table.c.key)
    if names is not None:
        gone = gone.where(table.c.name.in_(names))
    return list(connection.execute(gone).scalars())


def has_files(connection: Connection, resource_id: str) -> bool:
    """Whether anything is tied to the resource."""
    return bool(connection.execute(select(exists().where(table.c.resource_id == resource_id))).scalar_one())


def list_files(db: Database, resource_id: str, *, tenant: str, prefix: str = "") -> list[File]:
    """The files of a resource whose name begins with `prefix`, by name. Empty for a resource that has none."""
    with db.read() as connection:
        return files_of(connection, resource_id, tenant=tenant, prefix=prefix)


def files_of(connection: Connection, resource_id: str, *, tenant: str, prefix: str = "") -> list[File]:
    """`list_files` inside the caller's transaction."""
    rows = connection.execute(
        select(table)
        .where(table.c.resource_id == resource_id, table.c.tenant == tenant)
        .where(table.c.name.startswith(prefix, autoescape=True))
        .order_by(table.c.name)
    ).all()
    return [_file(row) for row in rows]


def get_file(db: Database, resource_id: str, name: str, *, tenant: str) -> File:
    """One file of a resource by name. Raises NotFound."""
    with db.read() as connection:
        row = connection.execute(
            select(table).where(table.c.resource_id == resource_id, table.c.name == name, table.c.tenant == tenant)
        ).one_or_none()
    if row is None:
        raise NotFound(f"{resource_id} has no file {name!r}")
    return _file(row)


_STORED_BYTES = select(func.coalesce(func.sum(table.c.bytes), 0)).where(table.c.tenant == bindparam("tenant"))


def stored_bytes(connection: Connection, tenant: str) -> int:
    """Bytes of all objects of a tenant."""
    return int(connection.execute(_STORED_BYTES, {"tenant": tenant}).scalar_one())


def _file(row: object) -> File:
    return File(*(getattr(row, field) for field in File.__slots__))
