"""Generators: what can be sampled from. The built-in ones are listed from their JSON files, without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import BuiltIn, NotFound
from store.ids import new_id
from store.jobs.uses import refuse_in_use
from store.objects import ObjectStore
from store.resources.files import remove_files
from store.tables import generators as table
from store.tenancy.tenants import lock_tenant

#: Name of the description in a generator's folder (written by the library that reads it for real), and among the files
#: of one that was imported.
DESCRIPTION = "generator.json"
PREVIEW = "preview.png"
#: The generator's own perceptual network, among its files.
PERCEPTUAL = "perceptual.json"
#: Key of `info` under which an imported generator's report stands.
IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Generator:
    """A frozen generator. `digest` is the SHA-256 of its weights; `info` is its whole description (config, info)."""

    id: str
    name: str
    state: str
    builtin: bool
    digest: str
    height: int
    width: int
    licence: str
    info: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewGenerator:
    """What a step asks to be recorded when its result commits. `info`: its description, and how it was imported."""

    id: str
    name: str
    digest: str
    height: int
    width: int
    licence: str
    info: dict[str, Any]


def add_generator(connection: Connection, tenant: str, new: NewGenerator) -> None:
    """Record a generator. One whose name was taken while it was made gets the end of its id behind its name."""
    taken = connection.execute(select(table.c.id).where(table.c.tenant == tenant, table.c.name == new.name))
    name = new.name if taken.one_or_none() is None else f"{new.name[:50]}-{new.id[-8:]}"
    values = asdict(new) | {"name": name, "tenant": tenant, "builtin": False, "state": "ready"}
    connection.execute(insert(table).values(created_at=database_now(), **values))


def delete_generator(db: Database, objects: ObjectStore, name_or_id: str, *, tenant: str) -> None:
    """Forget a generator of the tenant's own, with its files. What was made with it stays.

    Raises NotFound, BuiltIn, InUse while a job needs it.
    """
    with db.write() as connection:
        lock_tenant(connection, tenant)
        generator = find_generator(connection, name_or_id, tenant=tenant)
        if generator.builtin:
            raise BuiltIn(f"{generator.name} comes with the service and cannot be deleted")
        refuse_in_use(connection, tenant, generator.id, generator.name)
        connection.execute(delete(table).where(table.c.id == generator.id))
        keys = remove_files(connection, generator.id)
    for key in keys:
        objects.delete(key)


def register_builtin(db: Database, folder: Path | None) -> list[str]:
    """List each `<folder>/<name>/generator.json` as a generator that every tenant sees; the names found.

    Runs at every opening of the database, so that the list is right before any worker has run. A folder that cannot be
    read as a generator is left out: a half-written one is not an error of the service.
    """
    found = []
    for path in sorted(folder.glob(f"*/{DESCRIPTION}")) if folder is not None else ():
        values = _described(path)
        if values is not None:
            found.append(values)
    if not found or not _differs(db, found):
        return [values["name"] for values in found]
    with db.write() as connection:
        for values in found:
            _upsert(connection, values)
    return [values["name"] for values in found]


def get_generator(db: Database, name_or_id: str, *, tenant: str) -> Generator:
    """A generator by name or id, the tenant's own before a built-in one of the same name. Raises NotFound."""
    with db.read() as connection:
        return find_generator(connection, name_or_id, tenant=tenant)


def _visible(tenant: Any) -> Any:
    return or_(table.c.tenant == tenant, table.c.tenant.is_(None))


_FIND = (
    select(table)
    .where(_visible(bindparam("tenant")), or_(table.c.id == bindparam("wanted"), table.c.name == bindparam("wanted")))
    .order_by(table.c.builtin)
    .limit(1)
)


def find_generator(connection: Connection, name_or_id: str, *, tenant: str) -> Generator:
    """`get_generator` inside the caller's transaction."""
    row = connection.execute(_FIND, {"tenant": tenant, "wanted": name_or_id}).one_or_none()
    if row is None:
        raise NotFound(f"no generator {name_or_id!r}")
    return _generator(row)


def generator_names(connection: Connection, *, tenant: str) -> list[str]:
    """Names of all generators that the tenant can use, in order."""
    return list(connection.execute(select(table.c.name).where(_visible(tenant)).order_by(table.c.name)).scalars())


def list_generators(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[Generator]:
    """Generators that the tenant can use, newest first. Raises InvalidRequest for a bad token."""
    with db.read() as connection:
        query = select(table).where(_visible(tenant))
        return page(connection, query, table, _generator, page_size=page_size, page_token=page_token)


def _described(path: Path) -> dict[str, Any] | None:
    try:
        description = json.loads(path.read_text("utf-8"))
        height, width = description["config"]["resolution"]
        info = description["info"]
        return {
            "name": path.parent.name,
            "digest": str(info["digest"]),
            "height": int(height),
            "width": int(width),
            "licence": str(info.get("licence", "")),
            "info": description,
            "state": "ready",
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _differs(db: Database, found: list[dict[str, Any]]) -> bool:
    with db.read() as connection:
        known = {row.name: row.info for row in connection.execute(select(table).where(table.c.builtin))}
    return any(known.get(values["name"]) != values["info"] for values in found)


def _upsert(connection: Connection, values: dict[str, Any]) -> None:
    builtin = (table.c.name == values["name"]) & table.c.builtin
    if not connection.execute(update(table).where(builtin).values(**values)).rowcount:
        connection.execute(
            insert(table).values(id=new_id("gen"), tenant=None, builtin=True, created_at=database_now(), **values)
        )


def _generator(row: Any) -> Generator:
    return Generator(
        id=row.id,
        name=row.name,
        state=row.state,
        builtin=row.builtin,
        digest=row.digest,
        height=row.height,
        width=row.width,
        licence=row.licence,
        info=row.info,
        created_at=cast(datetime, to_datetime(row.created_at)),
    )
