"""Datasets in other formats."""

from urllib.parse import urlencode

from pydantic import Field

from api.schemas.base import Document, Request
from api.schemas.jobs import JobState
from store.job_kinds.export import SPLIT, ExportFormat
from store.requests.base import MAX_SEED
from store.resources.exports import Export as StoredExport


class ExportRequest(Request):
    """Format of an export, and the part of it that is for validation."""

    format: ExportFormat
    split: float | None = Field(None, ge=0.0, le=0.9, description=SPLIT)
    split_seed: int = Field(0, ge=0, le=MAX_SEED, description="Which images are for validation.")


class Export(Document):
    """A dataset in one format. Fetch it at `url` once it is there."""

    format: str = Field(examples=["coco"])
    split: float | None = Field(description="As asked for: the fraction for validation.")
    split_seed: int
    state: JobState
    job: str
    bytes: int | None
    sha256: str | None
    url: str | None = Field(description="One zip; ask for parts of it with `Range`.")


def export_document(dataset_id: str, export: StoredExport) -> Export:
    """Return the document of an export."""
    return Export(
        format=export.format,
        split=export.split,
        split_seed=export.split_seed,
        state=export.state,
        job=export.job_id,
        bytes=export.file.bytes if export.file else None,
        sha256=export.file.sha256 if export.file else None,
        url=f"/v1/datasets/{dataset_id}/archive?{_query(export)}" if export.file else None,
    )


def _query(export: StoredExport) -> str:
    split = {} if export.split is None else {"split": export.split}
    seed = {"split_seed": export.split_seed} if export.split_seed else {}
    return urlencode({"format": export.format, **split, **seed})
