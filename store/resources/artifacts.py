"""Artifacts, such as label sets and labelers: stored results of steps, one for each digest of the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Connection, Table, and_, select
from sqlalchemy.dialects import postgresql, sqlite

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import NotFound
from store.resources.files import has_files
from store.resources.reports import ImageReport, InversionReport
from store.tables import (
    encoders,
    inversions,
    inverted_images,
    jobs,
    label_sets,
    labelers,
    sampling_statistics,
    uploads,
)

Kind = Literal["label_set", "inversion", "encoder", "labeler", "statistics"]
_TABLES: Mapping[Kind, Table] = {
    "label_set": label_sets,
    "inversion": inversions,
    "encoder": encoders,
    "labeler": labelers,
    "statistics": sampling_statistics,
}
#: Where the stored info holds the name of the job that made it.
_NAME = "name"
#: Rows asked for in one query.
_BATCH = 500
#: Name of the picture of the first labelled images among a label set's files.
LABEL_PREVIEW = "preview.png"
#: Prefix of each kind's ids.
PREFIXES: Mapping[Kind, str] = {
    "label_set": "ls",
    "inversion": "inv",
    "encoder": "enc",
    "labeler": "lab",
    "statistics": "sta",
}


@dataclass(frozen=True, slots=True)
class Made:
    """One label set, inversion or labeler.

    `digest`: SHA-256 over everything that went in; equal digests share one row. `info`: its report (classes and counts
    of a label set, reconstruction of an inversion, held-out score of a labeler). `parents`: ids it was made from
    (`label_set_id`, `generator_id`, `inversion_id`). `name`: that of the job that made it, where it had one.
    """

    kind: Kind
    id: str
    digest: str
    info: dict[str, Any]
    created_at: datetime
    parents: dict[str, str] = field(default_factory=dict)
    name: str | None = None


@dataclass(frozen=True, slots=True)
class NewMade:
    """Record that a step asks to be added when its result commits. `images`, of an inversion: the digest of each
    image's inversion, in order, under which later inversions find it.
    """

    kind: Kind
    id: str
    digest: str
    info: dict[str, Any]
    parents: dict[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InvertedBefore:
    """An image that an earlier inversion holds, at `position` among its codes; `report`: its reconstruction."""

    inversion_id: str
    position: int
    report: ImageReport


def get_label_set(db: Database, label_set_id: str, *, tenant: str) -> Made:
    """One label set. Raises NotFound."""
    return _get(db, "label_set", label_set_id, tenant)


def get_inversion(db: Database, inversion_id: str, *, tenant: str) -> Made:
    """One inversion. Raises NotFound."""
    return _get(db, "inversion", inversion_id, tenant)


def get_encoder(db: Database, encoder_id: str, *, tenant: str) -> Made:
    """One encoder. Raises NotFound."""
    return _get(db, "encoder", encoder_id, tenant)


def get_labeler(db: Database, labeler_id: str, *, tenant: str) -> Made:
    """One labeler. Raises NotFound."""
    return _get(db, "labeler", labeler_id, tenant)


def list_label_sets(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[Made]:
    """Label sets, newest first. Raises InvalidRequest for a bad token."""
    return _list(db, "label_set", tenant, page_size, page_token)


def list_encoders(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[Made]:
    """Encoders, newest first. Raises InvalidRequest for a bad token."""
    return _list(db, "encoder", tenant, page_size, page_token)


def list_labelers(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[Made]:
    """Labelers, newest first. Raises InvalidRequest for a bad token."""
    return _list(db, "labeler", tenant, page_size, page_token)


def find_made(db: Database, kind: Kind, digest: str, *, tenant: str) -> Made | None:
    """Return what was made from the same inputs before and still has its files, or None."""
    table = _TABLES[kind]
    with db.read() as connection:
        row = connection.execute(select(table).where(table.c.tenant == tenant, table.c.digest == digest)).one_or_none()
        return None if row is None or not has_files(connection, row.id) else _made(kind, row)


def add_made(connection: Connection, tenant: str, new: NewMade, name: str | None = None) -> str:
    """Record `new` under the `name` of the job that made it, or find what another job recorded for the same digest
    first; the id that stands.
    """
    table = _TABLES[new.kind]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    info = new.info | ({_NAME: name} if name else {})
    values = {"id": new.id, "tenant": tenant, "digest": new.digest, "info": info, **new.parents}
    connection.execute(dialect.insert(table).values(created_at=database_now(), **values).on_conflict_do_nothing())
    standing: str = connection.execute(
        select(table.c.id).where(table.c.tenant == tenant, table.c.digest == new.digest)
    ).scalar_one()
    if new.images and standing == new.id:
        rows = [
            {"tenant": tenant, "digest": digest, "inversion_id": new.id, "position": position}
            for position, digest in enumerate(new.images)
        ]
        connection.execute(dialect.insert(inverted_images).on_conflict_do_nothing(), rows)
    return standing


def upload_of(connection: Connection, label_set_id: str, *, tenant: str) -> str | None:
    """An upload that the label set was read from and that is still there, or None."""
    upload = jobs.c.spec["labels"].as_string()
    query = (
        select(uploads.c.id)
        .join(jobs, and_(upload == uploads.c.id, jobs.c.tenant == uploads.c.tenant))
        .where(uploads.c.tenant == tenant, uploads.c.state == "complete")
        .where(jobs.c.result["label_set"].as_string() == label_set_id)
        .limit(1)
    )
    found: str | None = connection.execute(query).scalar()
    return found


def find_inverted(db: Database, digests: Iterable[str], *, tenant: str) -> dict[str, InvertedBefore]:
    """Return the images that were inverted before, by the digest of their inversion."""
    table, wanted = inverted_images, sorted(set(digests))
    mine = select(table).where(table.c.tenant == tenant)
    with db.read() as connection:
        rows = [
            row
            for first in range(0, len(wanted), _BATCH)
            for row in connection.execute(mine.where(table.c.digest.in_(wanted[first : first + _BATCH])))
        ]
        reports = _reports(connection, sorted({row.inversion_id for row in rows}), tenant)
    return {
        row.digest: InvertedBefore(row.inversion_id, row.position, reports[row.inversion_id][row.position])
        for row in rows
        if row.inversion_id in reports
    }


def _reports(connection: Connection, inversion_ids: Sequence[str], tenant: str) -> dict[str, list[ImageReport]]:
    """The reports of all images of each inversion, by position. An inversion's `info` holds them all and grows with
    them, so that each is read once and not with each of its images.
    """
    query = select(inversions.c.id, inversions.c.info).where(inversions.c.tenant == tenant)
    found = {}
    for first in range(0, len(inversion_ids), _BATCH):
        for row in connection.execute(query.where(inversions.c.id.in_(inversion_ids[first : first + _BATCH]))):
            report = InversionReport.of(row.info)
            found[row.id] = [*report.per_image, *report.mirrored]
    return found


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
    parents = {name: value for name, value in row._mapping.items() if name.endswith("_id") and value}
    info = {key: value for key, value in row.info.items() if key != _NAME}
    created = cast(datetime, to_datetime(row.created_at))
    return Made(kind, row.id, row.digest, info, created, parents, row.info.get(_NAME))
