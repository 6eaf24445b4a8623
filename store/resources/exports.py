"""Exports of datasets: made by a job on request, once for each format and split, and kept with the dataset."""

from __future__ import annotations

from dataclasses import dataclass

from store.database.database import Database
from store.errors import NotFound, NotReady
from store.job_kinds.export import Variant, export_jobs
from store.resources.datasets import get_dataset
from store.resources.files import File, get_file, list_files

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


def export_name(format: str, split: float | None = None, split_seed: int = 0) -> str:
    """Return the name of an export among its dataset's files, a different one for each split."""
    variant = "" if split is None and split_seed == 0 else f"-split-{split}-{split_seed}"
    return f"{FOLDER}{format}{variant}.zip"


def list_exports(db: Database, dataset_id: str, *, tenant: str) -> list[Export]:
    """Return the latest export of a dataset in each format and split that was asked for. Raises NotFound."""
    get_dataset(db, dataset_id, tenant=tenant)
    files = {file.name: file for file in list_files(db, dataset_id, tenant=tenant, prefix=FOLDER)}
    with db.read() as connection:
        rows = connection.execute(export_jobs(dataset_id, tenant)).all()
    latest = {}
    for row in reversed(rows):
        made = Variant.model_validate(row.spec)
        latest[export_name(made.format, made.split, made.split_seed)] = (made, row)
    return [
        Export(made.format, made.split, made.split_seed, row.id, row.state, files.get(name))
        for name, (made, row) in sorted(latest.items())
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
