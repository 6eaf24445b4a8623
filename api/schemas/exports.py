"""Datasets in other formats."""

from pydantic import Field

from api.schemas.base import Document, Request
from api.schemas.jobs import JobState
from store.exports import Export as StoredExport
from store.specs import ExportFormat


class ExportRequest(Request):
    """Which format."""

    format: ExportFormat


class Export(Document):
    """A dataset in one format. Fetch it at `url` once it is there."""

    format: str = Field(examples=["coco"])
    state: JobState
    job: str
    bytes: int | None
    sha256: str | None
    url: str | None = Field(description="One zip; ask for parts of it with `Range`.")


def export_document(dataset_id: str, export: StoredExport) -> Export:
    return Export(
        format=export.format,
        state=export.state,
        job=export.job_id,
        bytes=export.file.bytes if export.file else None,
        sha256=export.file.sha256 if export.file else None,
        url=f"/v1/datasets/{dataset_id}/archive?format={export.format}" if export.file else None,
    )
