"""Image sets: unlabelled images at one size in one packed file, that generators are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import InvalidRequest, NotFound, Problem
from store.jobs.uses import refuse_in_use
from store.objects import ObjectStore
from store.resources.files import remove_files
from store.tables import image_sets as table
from store.tenancy.tenants import lock_tenant

#: Names of an image set's files: the packed images, the compact index of their content, the report, pictures.
PACKED, INDEX, REPORT = "images.packed", "index.npz", "report.json"
CONTACT_SHEET = "contact_sheet.png"
PREFIX = "ims"


class ImageSetFacts(BaseModel):
    """Facts of an image set. classes: images of each class, in the order of class indices; empty without classes.

    fit: rule by which the images were brought to their size. flips: whether mirror images may be trained on, and why.
    held_out, unreadable, copies: numbers of images.
    """

    model_config = ConfigDict(frozen=True)

    channels: int = 3
    classes: dict[str, int] = Field(default_factory=dict)
    held_out: int = 0
    fit: str = "crop"
    flips: bool = False
    flips_reason: str = ""
    unreadable: int = 0
    copies: int = 0
    imbalance: float | None = None
    left_out: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewImageSet:
    """Facts of an image set to be recorded when the result of a step commits. `digest`: SHA-256 over pixels, names and
    classes. `info`: :class:`ImageSetFacts` as JSON values; the whole report is the file `REPORT`.
    """

    id: str
    name: str
    digest: str
    images: int
    height: int
    width: int
    licence: str
    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImageSet(NewImageSet):
    """Packed images, as they are recorded."""

    created_at: datetime

    @property
    def facts(self) -> ImageSetFacts:
        """Facts for requests and people, from the info."""
        return ImageSetFacts.model_validate(self.info)

    @property
    def classes(self) -> Mapping[str, int]:
        """Images of each class, in the order of class indices; empty without classes."""
        return self.facts.classes

    @property
    def fit(self) -> str:
        """Rule by which the images were brought to their size: crop, pad or stretch."""
        return self.facts.fit

    @property
    def flips(self) -> bool:
        """Whether mirror images may be trained on."""
        return self.facts.flips


def add_image_set(connection: Connection, tenant: str, new: NewImageSet) -> None:
    """Record an image set. One whose name was taken while it was made gets the end of its id behind its name."""
    name = f"{new.name[:50]}-{new.id[-8:]}" if _named(connection, new.name, tenant) is not None else new.name
    values = asdict(new) | {"name": name, "tenant": tenant}
    connection.execute(insert(table).values(created_at=database_now(), **values))


def get_image_set(db: Database, name_or_id: str, *, tenant: str) -> ImageSet:
    """Return an image set by name or id. Raises NotFound."""
    with db.read() as connection:
        return find_image_set(connection, name_or_id, tenant=tenant)


def find_image_set(connection: Connection, name_or_id: str, *, tenant: str) -> ImageSet:
    """Return what `get_image_set` returns, inside the caller's transaction."""
    row = connection.execute(_FIND, {"tenant": tenant, "wanted": name_or_id}).one_or_none()
    if row is None:
        raise NotFound(f"no image set {name_or_id!r}")
    return _image_set(row)


def image_set_names(connection: Connection, *, tenant: str) -> list[str]:
    """Return the names of all image sets of the tenant, in order."""
    mine = select(table.c.name).where(table.c.tenant == tenant).order_by(table.c.name)
    return list(connection.execute(mine).scalars())


def list_image_sets(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[ImageSet]:
    """Return image sets, newest first. Raises InvalidRequest for a bad token."""
    with db.read() as connection:
        query = select(table).where(table.c.tenant == tenant)
        return page(connection, query, table, _image_set, page_size=page_size, page_token=page_token)


def rename_image_set(db: Database, name_or_id: str, name: str, *, tenant: str) -> ImageSet:
    """Give an image set another name; jobs that wait or run may know it by the old one.

    Raises NotFound, InvalidRequest where another has the name, InUse.
    """
    with db.write() as connection:
        lock_tenant(connection, tenant)
        found = find_image_set(connection, name_or_id, tenant=tenant)
        if _named(connection, name, tenant) not in (None, found.id):
            raise InvalidRequest("the image set cannot be renamed", [Problem(f"{name!r} is another one's", "/name")])
        refuse_in_use(connection, tenant, found.name)
        connection.execute(update(table).where(table.c.id == found.id).values(name=name))
        return find_image_set(connection, found.id, tenant=tenant)


def delete_image_set(db: Database, objects: ObjectStore, name_or_id: str, *, tenant: str) -> None:
    """Forget an image set with its files. Generators that were trained on it stay.

    Raises NotFound, InUse while a job needs it.
    """
    with db.write() as connection:
        lock_tenant(connection, tenant)
        found = find_image_set(connection, name_or_id, tenant=tenant)
        refuse_in_use(connection, tenant, found.id, found.name)
        connection.execute(delete(table).where(table.c.id == found.id))
        keys = remove_files(connection, found.id)
    for key in keys:
        objects.delete(key)


_FIND = (
    select(table)
    .where(table.c.tenant == bindparam("tenant"))
    .where(or_(table.c.id == bindparam("wanted"), table.c.name == bindparam("wanted")))
    .limit(1)
)


def _named(connection: Connection, name: str, tenant: str) -> str | None:
    """Return the id of the image set with this name."""
    found: str | None = connection.execute(
        select(table.c.id).where(table.c.tenant == tenant, table.c.name == name)
    ).scalar()
    return found


def _image_set(row: Any) -> ImageSet:
    created = cast(datetime, to_datetime(row.created_at))
    return ImageSet(row.id, row.name, row.digest, row.images, row.height, row.width, row.licence, row.info, created)
