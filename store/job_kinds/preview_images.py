"""Job kind `preview_images`: a picture of examples of an upload at a size, under each rule that brings them there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import Problem
from store.job_kinds.add_images import LARGEST, SMALLEST
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.requests.base import MAX_SEED, JobSpec
from store.uploads.files import upload_missing


class PreviewImagesSpec(JobSpec):
    """Photographs that may become an image set, looked at before."""

    kind: Literal["preview_images"] = "preview_images"
    source: str = Field(min_length=1, max_length=64, description="A finished upload (`upl_…`), as for `add_images`.")
    height: int = Field(ge=SMALLEST, le=LARGEST, description="Height that the images would have, in pixels.")
    width: int = Field(ge=SMALLEST, le=LARGEST, description="Width that the images would have, in pixels.")
    count: int = Field(8, ge=1, le=32, description="Examples, from the widest to the tallest photograph.")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Of the choice of examples.")


class PreviewBegun(JobResult):
    """Result of a job: the id of its picture, which is its own."""

    preview: str


def _check(where: Submitting, spec: PreviewImagesSpec) -> list[Problem]:
    missing = upload_missing(where.connection, spec.source, tenant=where.tenant)
    return [Problem(missing, "/source")] if missing else []


KIND = JobKind(
    "preview_images",
    (StepPlan("preview_images", "cpu", title="choosing examples"),),
    PreviewImagesSpec,
    makes=Makes("preview", "image-sets/previews"),
    refusal="these images cannot be previewed",
    check=_check,
    result=lambda _spec, job_id: PreviewBegun(preview=job_id),
)
