"""Generators, imported and built-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Connection, and_, bindparam, delete, insert, or_, select, update

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import BuiltIn, NotFound
from store.jobs.uses import refuse_in_use
from store.objects import ObjectStore
from store.resources.files import remove_files
from store.tables import generators as table
from store.tenancy.tenants import lock_tenant

PREVIEW = "preview.png"
#: The generator's own perceptual network, among its files.
PERCEPTUAL = "perceptual.json"
#: Indices of the images that a generator was trained on here, among its files: the last training's first.
TRAINING_IMAGES = "training_images/"
#: Key of `info` under which an imported generator's report stands.
IMPORTED = "imported"
#: Key of `info` under which stands what was trained for a generator after it was made.
PREPARED = "prepared"
#: Key of `info` under which the facts of a generator's training stand; its file TRAINING has the curves, too.
TRAINED = "trained"
TRAINING, SAMPLES, CURVES = "training.json", "samples.png", "curves.png"
#: `training`: it is replaced by better ones, and no job can use it yet.
GeneratorState = Literal["ready", "training"]


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
    """Record that a step asks to be added when its result commits. `info`: its description, and how it was imported."""

    id: str
    name: str
    digest: str
    height: int
    width: int
    licence: str
    info: dict[str, Any]
    state: GeneratorState = "ready"


@dataclass(frozen=True, slots=True)
class PreparedGenerator:
    """A record to write when a step's result commits: files of the result replace those of the same name of
    the generator. `facts`: added to its description under `PREPARED`.
    """

    id: str
    facts: dict[str, Any]


def prepare_generator(connection: Connection, new: PreparedGenerator, names: Sequence[str]) -> list[str]:
    """Record facts of a generator and untie its files of these names; their keys. Nothing for one that is gone."""
    row = connection.execute(select(table.c.info).where(table.c.id == new.id).with_for_update()).one_or_none()
    if row is None:
        return []
    info = {**row.info, PREPARED: {**row.info.get(PREPARED, {}), **new.facts}}
    connection.execute(update(table).where(table.c.id == new.id).values(info=info))
    return remove_files(connection, new.id, names)


def add_generator(connection: Connection, tenant: str, new: NewGenerator) -> list[str]:
    """Record a generator, or replace the one in training that has its id; keys of the objects that it replaces.

    One whose name was taken while it was made gets the end of its id behind its name.
    """
    mine = and_(table.c.id == new.id, table.c.tenant == tenant, table.c.state == "training")
    values = {name: value for name, value in asdict(new).items() if name not in ("id", "name")}
    if connection.execute(update(table).where(mine).values(**values)).rowcount:
        return remove_files(connection, new.id)
    taken = connection.execute(select(table.c.id).where(table.c.tenant == tenant, table.c.name == new.name))
    name = new.name if taken.one_or_none() is None else f"{new.name[:50]}-{new.id[-8:]}"
    values |= {"id": new.id, "name": name, "tenant": tenant, "builtin": False}
    connection.execute(insert(table).values(created_at=database_now(), **values))
    return []


def release_generator(connection: Connection, generator_id: str | None) -> None:
    """Let a generator be used whose training ended early: it holds the best state so far."""
    if generator_id is not None:
        in_training = and_(table.c.id == generator_id, table.c.state == "training")
        connection.execute(update(table).where(in_training).values(state="ready"))


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
