"""Datasets: what a `generate` job makes. The row is born with the job, the manifest is written last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, case, exists, insert, or_, select, update

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import Gone, NotFound, NotReady
from store.jobs.states import ACTIVE_JOB_STATES
from store.jobs.uses import refuse_in_use
from store.resources.aliases import point
from store.resources.dataset_reports import DatasetReport
from store.resources.files import files_of
from store.tables import datasets as table
from store.tables import files, jobs
from store.tenancy.tenants import lock_tenant

#: Names of a dataset's files beside `shards/*.tar`.
MANIFEST = "manifest.json"
CARD = "README.md"
CONTACT_SHEET = "contact_sheet.png"
STATISTICS = "statistics.json"
CROISSANT = "croissant.json"
#: Where a dataset's info names the files that cannot be read, each with the reason.
DAMAGED = "damaged"
#: How long a deletion can be taken back.
UNDELETE_HOURS = 24


@dataclass(frozen=True, slots=True)
class Dataset:
    """`state`: `building`; `ready` (manifest written); `partial` (the job ended early, finished work is readable);
    `empty` (the job ended early with nothing finished); `deleted`, whatever it was before. `count` is what was asked
    for. `name`: that of its job. `pinned`: it does not expire. `deleted_at`: it can be taken back for UNDELETE_HOURS
    from then on.
    """

    id: str
    job_id: str
    name: str | None
    state: Literal["building", "ready", "partial", "empty", "deleted"]
    count: int
    info: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    pinned: bool
    deleted_at: datetime | None

    @property
    def report(self) -> DatasetReport:
        """Facts of the finished dataset, from its info."""
        return DatasetReport.of(self.info)


_DATASETS = select(table, jobs.c.spec["name"].as_string().label("name")).join(jobs, jobs.c.id == table.c.job_id)
_ADD = insert(table).values(state="building", created_at=database_now())


def add_dataset(connection: Connection, dataset_id: str, *, tenant: str, job_id: str, count: int) -> None:
    """The row of a dataset about to be made."""
    connection.execute(_ADD, {"id": dataset_id, "tenant": tenant, "job_id": job_id, "count": count, "info": {}})


def finish_dataset(connection: Connection, job_id: str, report: DatasetReport) -> None:
    """Mark the job's dataset ready and point the job's alias at it, in the transaction that commits the manifest."""
    finished = connection.execute(
        update(table)
        .where(table.c.job_id == job_id, table.c.state == "building")
        .values(state="ready", info=report.to_json(), finished_at=database_now(), expires_at=_expiry(job_id))
        .returning(table.c.id, table.c.tenant)
    ).one_or_none()
    alias = connection.execute(select(jobs.c.spec["alias"].as_string()).where(jobs.c.id == job_id)).scalar()
    if finished is not None and alias:
        point(connection, tenant=finished.tenant, name=alias, dataset_id=finished.id)


def end_dataset_early(connection: Connection, job_id: str) -> None:
    """Mark the dataset of a failed or canceled job: partial when some of its work is readable, else empty."""
    row = connection.execute(select(table).where(table.c.job_id == job_id)).one_or_none()
    if row is not None:
        finished = files_of(connection, job_id, tenant=row.tenant, prefix="shards/")
        connection.execute(
            update(table)
            .where(table.c.id == row.id, table.c.state == "building")
            .values(state="partial" if finished else "empty", finished_at=database_now(), expires_at=_expiry(job_id))
        )


def reopen_dataset(connection: Connection, job_id: str) -> None:
    """The dataset of a job that is resumed is being made again; what of it was readable is kept. Raises Gone when it
    was deleted.
    """
    deleted = select(table.c.id).where(table.c.job_id == job_id, table.c.deleted_at.is_not(None))
    if (dataset_id := connection.execute(deleted).scalar()) is not None:
        raise Gone(f"{dataset_id}, which the job makes, was deleted; undelete it first, within {UNDELETE_HOURS} hours")
    connection.execute(
        update(table)
        .where(table.c.job_id == job_id, table.c.state.in_(("partial", "empty")))
        .values(state="building", finished_at=None, expires_at=None)
    )


def mark_damaged(connection: Connection, resource_id: str, name: str, why: str) -> None:
    """Note in the info of the dataset with this id, or of this job, that its file `name` cannot be read, and why. Other
    ids are left alone.
    """
    row = connection.execute(select(table.c.id, table.c.info).where(_of(resource_id)).with_for_update()).one_or_none()
    marks = {} if row is None else DatasetReport.of(row.info).damaged
    if row is not None and marks.get(name) != why:
        info = {**row.info, DAMAGED: {**marks, name: why}}
        connection.execute(update(table).where(table.c.id == row.id).values(info=info))


def is_marked_damaged(db: Database, resource_id: str, name: str) -> bool:
    """Return whether :func:`mark_damaged` marked this file."""
    with db.read() as connection:
        row = connection.execute(select(table.c.info).where(_of(resource_id))).one_or_none()
    return row is not None and name in DatasetReport.of(row.info).damaged


def clear_damaged(db: Database, resource_id: str, name: str) -> None:
    """Take the mark of :func:`mark_damaged` back, for a file that was read whole and verified."""
    if not is_marked_damaged(db, resource_id, name):
        return
    with db.write() as connection:
        row = connection.execute(select(table.c.id, table.c.info).where(_of(resource_id)).with_for_update()).one()
        marks = {other: why for other, why in DatasetReport.of(row.info).damaged.items() if other != name}
        info = {key: value for key, value in row.info.items() if key != DAMAGED} | ({DAMAGED: marks} if marks else {})
        connection.execute(update(table).where(table.c.id == row.id).values(info=info))


def _of(resource_id: str) -> ColumnElement[bool]:
    return or_(table.c.id == resource_id, table.c.job_id == resource_id)


def expired_datasets(connection: Connection) -> list[tuple[str, str]]:
    """Ids of datasets whose time is over and that still have files, with those of their jobs. One that a job exports or
    evaluates is kept until that job has ended.
    """
    in_use = exists().where(
        jobs.c.tenant == table.c.tenant,
        jobs.c.state.in_(ACTIVE_JOB_STATES),
        jobs.c.spec["dataset"].as_string() == table.c.id,
    )
    expired = and_(table.c.expires_at < database_now(), ~table.c.pinned)
    rows = connection.execute(
        select(table.c.id, table.c.job_id)
        .where(or_(expired, table.c.deleted_at < database_now() - UNDELETE_HOURS * 3600.0))
        .where(~in_use)
        .where(exists().where(or_(files.c.resource_id == table.c.id, files.c.resource_id == table.c.job_id)))
    )
    return [(row.id, row.job_id) for row in rows]


def _expiry(job_id: str) -> ScalarSelect[float | None]:
    """The time that was set for the job at its start."""
    return select(jobs.c.expires_at).where(jobs.c.id == job_id).scalar_subquery()


def pin_dataset(db: Database, dataset_id: str, *, tenant: str, pinned: bool) -> Dataset:
    """Keep a dataset beyond its time, or no longer; one whose time is over by then has a day left. Raises NotFound."""
    get_dataset(db, dataset_id, tenant=tenant)
    soon = database_now() + 86400.0
    end = case((table.c.expires_at < soon, soon), else_=table.c.expires_at)
    with db.write() as connection:
        this = update(table).where(table.c.id == dataset_id)
        connection.execute(this.where(table.c.pinned != pinned).values(pinned=pinned, expires_at=end))
    return get_dataset(db, dataset_id, tenant=tenant)


def delete_dataset(db: Database, dataset_id: str, *, tenant: str) -> None:
    """Hide a dataset now and remove its files after UNDELETE_HOURS; repeating it changes nothing. Raises NotFound,
    NotReady while it is being made, InUse while a job exports or evaluates it.
    """
    with db.write() as connection:
        lock_tenant(connection, tenant)
        row = connection.execute(select(table).where(table.c.id == dataset_id, table.c.tenant == tenant)).one_or_none()
        if row is None:
            raise NotFound(f"no dataset {dataset_id!r}")
        if row.state == "building":
            raise NotReady(f"{dataset_id} is being made; cancel {row.job_id} first")
        refuse_in_use(connection, tenant, dataset_id)
        this = update(table).where(table.c.id == dataset_id, table.c.deleted_at.is_(None))
        connection.execute(this.values(deleted_at=database_now()))


def undelete_dataset(db: Database, dataset_id: str, *, tenant: str) -> Dataset:
    """Take a deletion back. Raises NotFound, Gone when it is too late."""
    get_dataset(db, dataset_id, tenant=tenant)
    with db.write() as connection:
        this = update(table).where(table.c.id == dataset_id)
        in_time = or_(table.c.deleted_at.is_(None), table.c.deleted_at > database_now() - UNDELETE_HOURS * 3600.0)
        if not connection.execute(this.where(in_time).values(deleted_at=None)).rowcount:
            raise Gone(f"{dataset_id} was deleted more than {UNDELETE_HOURS} hours ago")
    return get_dataset(db, dataset_id, tenant=tenant)


def get_dataset(db: Database, dataset_id: str, *, tenant: str) -> Dataset:
    """One dataset. Raises NotFound."""
    with db.read() as connection:
        row = connection.execute(_DATASETS.where(table.c.id == dataset_id, table.c.tenant == tenant)).one_or_none()
    if row is None:
        raise NotFound(f"no dataset {dataset_id!r}")
    return _dataset(row)


def list_datasets(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[Dataset]:
    """Datasets that are not deleted, newest first. Raises InvalidRequest for a bad token."""
    with db.read() as connection:
        query = _DATASETS.where(table.c.tenant == tenant, table.c.deleted_at.is_(None))
        return page(connection, query, table, _dataset, page_size=page_size, page_token=page_token)


def partial_manifest(db: Database, dataset_id: str, *, tenant: str) -> dict[str, Any]:
    """The manifest of a dataset whose job ended early, made from committed rows: `complete` is False, nothing is
    filtered, and its shards are files of the job (`get_file(db, dataset.job_id, path, …)`). Raises NotFound.
    """
    dataset = get_dataset(db, dataset_id, tenant=tenant)
    with db.read() as connection:
        job = connection.execute(select(jobs).where(jobs.c.id == dataset.job_id)).one()
        shards = files_of(connection, dataset.job_id, tenant=tenant, prefix="shards/")
    return {
        "dataset": dataset_id,
        "complete": False,
        "count": sum(shard.items or 0 for shard in shards),
        "seed": job.seed,
        "settings": job.spec,
        "shards": [
            {"path": shard.name, "bytes": shard.bytes, "sha256": shard.sha256, "items": shard.items} for shard in shards
        ],
    }


def _dataset(row: Any) -> Dataset:
    return Dataset(
        id=row.id,
        job_id=row.job_id,
        name=row.name,
        state="deleted" if row.deleted_at is not None else row.state,
        count=row.count,
        info=row.info,
        created_at=cast(datetime, to_datetime(row.created_at)),
        finished_at=to_datetime(row.finished_at),
        expires_at=None if row.pinned else to_datetime(row.expires_at),
        pinned=row.pinned,
        deleted_at=to_datetime(row.deleted_at),
    )
