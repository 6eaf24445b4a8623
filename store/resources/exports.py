"""A dataset in other people's formats: made by a job when somebody asks, once for each format, and kept with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Unpack

from sqlalchemy import Connection, Select, select

from store.database.clock import to_datetime
from store.database.database import Database
from store.errors import Gone, NotFound, NotReady
from store.jobs.kinds import EXPORT
from store.jobs.states import ACTIVE_JOB_STATES
from store.jobs.submit import Asked, Submission, submit_job
from store.jobs.views import job_view
from store.resources.datasets import get_dataset
from store.resources.files import File, get_file, list_files
from store.specs import ExportFormat, ExportSpec
from store.tables import datasets, jobs

#: Exports stand among their dataset's files, and go when it goes.
FOLDER = "exports/"


@dataclass(frozen=True, slots=True)
class Export:
    """`state` is that of the job that makes it; `file` is there once that has succeeded."""

    format: str
    split: float | None
    split_seed: int
    job_id: str
    state: str
    file: File | None


class _AlreadyAsked(Exception):
    def __init__(self, job_id: str) -> None:
        self.job_id = job_id


def export_name(format: str, split: float | None = None, split_seed: int = 0) -> str:
    """Return the name of an export among its dataset's files, a different one for each split."""
    variant = "" if split is None and split_seed == 0 else f"-split-{split}-{split_seed}"
    return f"{FOLDER}{format}{variant}.zip"


def submit_export(db: Database, spec: ExportSpec, **asked: Unpack[Asked]) -> Submission:
    """Accept an `export` job, or find the one that makes or has made the same.

    Raises NotFound, NotReady while the dataset is not ready, Gone, QuotaExceeded, IdempotencyMismatch,
    StoreUnavailable, StorageFull.
    """
    tenant = asked["tenant"]
    count = get_dataset(db, spec.dataset, tenant=tenant).count

    def check(connection: Connection) -> None:
        _check_dataset(connection, spec.dataset, tenant)
        for row in connection.execute(_jobs_of(spec.dataset, tenant, spec.format)):
            same = export_variant(row.spec) == export_variant(spec.model_dump())
            if same and (row.state in ACTIVE_JOB_STATES or row.state == "succeeded"):
                raise _AlreadyAsked(row.id)

    try:
        return submit_job(
            db,
            EXPORT,
            spec=spec.model_dump(mode="json"),
            seed=0,
            total=count,
            check=check,
            result=lambda _job_id: {"dataset": spec.dataset},
            **asked,
        )
    except _AlreadyAsked as known:
        return Submission(job_view(db, known.job_id, tenant=tenant), False, None)


def list_exports(db: Database, dataset_id: str, *, tenant: str) -> list[Export]:
    """Return the latest export of a dataset in each format and split that was asked for. Raises NotFound."""
    get_dataset(db, dataset_id, tenant=tenant)
    files = {file.name: file for file in list_files(db, dataset_id, tenant=tenant, prefix=FOLDER)}
    with db.read() as connection:
        rows = connection.execute(_jobs_of(dataset_id, tenant)).all()
    latest = {export_name(*export_variant(row.spec)): row for row in reversed(rows)}
    return [
        Export(*export_variant(row.spec), row.id, row.state, files.get(name)) for name, row in sorted(latest.items())
    ]


def get_export(
    db: Database, dataset_id: str, format: str, split: float | None = None, split_seed: int = 0, *, tenant: str
) -> File:
    """Return the zip of a dataset in this format and split. Raises NotReady when there is none (yet)."""
    try:
        return get_file(db, dataset_id, export_name(format, split, split_seed), tenant=tenant)
    except NotFound:
        how = f"ask for it with POST /v1/datasets/{dataset_id}/exports"
        raise NotReady(f"{dataset_id} is not there as {format!r} yet; {how}") from None


def _check_dataset(connection: Connection, dataset_id: str, tenant: str) -> None:
    # Locked, so that of two requests at once the second finds the first one's job.
    row = connection.execute(
        select(datasets).where(datasets.c.id == dataset_id, datasets.c.tenant == tenant).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"no dataset {dataset_id!r}")
    if row.deleted_at is not None:
        raise Gone(f"{dataset_id} was deleted; undelete it first")
    expires_at = to_datetime(row.expires_at)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Gone(f"{dataset_id} expired at {expires_at:%Y-%m-%d %H:%M} UTC")
    if row.state != "ready":
        raise NotReady(f"{dataset_id} is {row.state}: only what is ready is exported; see /v1/jobs/{row.job_id}")


def export_variant(spec: Mapping[str, Any]) -> tuple[ExportFormat, float | None, int]:
    """Return format, split and its seed of an export job's spec."""
    split = spec.get("split")
    return spec["format"], None if split is None else float(split), spec.get("split_seed", 0)


def _jobs_of(dataset_id: str, tenant: str, format: str | None = None) -> Select[Any]:
    """The dataset's export jobs, newest first."""
    query = select(jobs).where(
        jobs.c.tenant == tenant, jobs.c.kind == EXPORT.name, jobs.c.spec["dataset"].as_string() == dataset_id
    )
    if format is not None:
        query = query.where(jobs.c.spec["format"].as_string() == format)
    return query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
