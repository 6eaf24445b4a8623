"""Job kind `export`: a finished dataset in another format, by one long read of its shards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, select

from store.database.clock import to_datetime
from store.errors import Gone, NotFound, NotReady, Problem
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.jobs.states import ACTIVE_JOB_STATES
from store.requests.base import MAX_SEED, JobSpec
from store.tables import datasets, jobs

ExportFormat = Literal["coco", "yolo", "voc", "masks", "hf", "cvat"]
#: The native format, and those that an export makes.
DeliveryFormat = Literal["webdataset", ExportFormat]
#: Meaning of an export's `split`.
SPLIT = "Fraction of the images that is for validation. Null: 0.1 for `yolo`, whose trainers require it, 0 for others."


class ExportSpec(JobSpec):
    """A finished dataset in another format."""

    kind: Literal["export"] = "export"
    dataset: str = Field(description="A dataset that is ready (`ds_…`).", max_length=64)
    format: ExportFormat
    split: float | None = Field(None, ge=0.0, le=0.9, description=SPLIT)
    split_seed: int = Field(0, ge=0, le=MAX_SEED, description="Which images are for validation.")


class Variant(BaseModel):
    """Fields of an export's request that distinguish exports of one dataset; read from requests of any release."""

    model_config = ConfigDict(frozen=True)

    format: ExportFormat
    split: float | None = None
    split_seed: int = 0


def export_jobs(dataset_id: str, tenant: str, format: str | None = None) -> Select[Any]:
    """Return the query for the export jobs of a dataset, newest first; of one format where it is given."""
    query = select(jobs).where(
        jobs.c.tenant == tenant, jobs.c.kind == "export", jobs.c.spec["dataset"].as_string() == dataset_id
    )
    if format is not None:
        query = query.where(jobs.c.spec["format"].as_string() == format)
    return query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc())


def _check(where: Submitting, spec: ExportSpec) -> list[Problem]:
    """Raise NotFound, Gone, or NotReady while the dataset is not ready."""
    # Locked, so that of two requests at once the second finds the first one's job.
    row = where.connection.execute(
        select(datasets).where(datasets.c.id == spec.dataset, datasets.c.tenant == where.tenant).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"no dataset {spec.dataset!r}")
    if row.deleted_at is not None:
        raise Gone(f"{spec.dataset} was deleted; undelete it first")
    expires_at = to_datetime(row.expires_at)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Gone(f"{spec.dataset} expired at {expires_at:%Y-%m-%d %H:%M} UTC")
    if row.state != "ready":
        raise NotReady(f"{spec.dataset} is {row.state}: only ready datasets are exported; see /v1/jobs/{row.job_id}")
    return []


def _equal(where: Submitting, spec: ExportSpec) -> str | None:
    """Return the job that makes or has made the same export."""
    for row in where.connection.execute(export_jobs(spec.dataset, where.tenant, spec.format)):
        same = Variant.model_validate(row.spec) == Variant.model_validate(spec.model_dump())
        if same and (row.state in ACTIVE_JOB_STATES or row.state == "succeeded"):
            return str(row.id)
    return None


def _images(where: Submitting, spec: ExportSpec) -> int:
    count = select(datasets.c.count).where(datasets.c.id == spec.dataset, datasets.c.tenant == where.tenant)
    return int(where.connection.execute(count).scalar_one())


KIND = JobKind(
    "export",
    (StepPlan("export", "cpu", title="exporting", counts_images=True),),
    ExportSpec,
    makes=Makes("dataset", "datasets"),
    check=_check,
    equal=_equal,
    images=_images,
    result=lambda spec, _job_id: JobResult(dataset=spec.dataset),
)
