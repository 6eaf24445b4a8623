"""Job kind `assess_labeler`: a quality report of a labeler, by labelers of parts of its images that label the rest."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from sqlalchemy import select

from store.errors import NotFound, Problem
from store.job_kinds.labeling import ASSESS_LABELER
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, Makes, Submitting
from store.requests.base import JobSpec
from store.requests.labeler import FoldsSpec
from store.tables import labelers


class AssessLabelerSpec(FoldsSpec, JobSpec):
    """Quality report of a labeler, by cross-validation on the images that it was trained on."""

    kind: Literal["assess_labeler"] = "assess_labeler"
    labeler: str = Field(description="A labeler (`lab_…`).", max_length=64)


def _check(where: Submitting, spec: AssessLabelerSpec) -> list[Problem]:
    """Raise NotFound for an unknown labeler."""
    mine = select(labelers.c.id).where(labelers.c.id == spec.labeler, labelers.c.tenant == where.tenant)
    if where.connection.execute(mine).one_or_none() is None:
        raise NotFound(f"no labeler {spec.labeler!r}")
    return []


KIND = JobKind(
    "assess_labeler",
    (ASSESS_LABELER,),
    AssessLabelerSpec,
    makes=Makes("labeler", "labelers"),
    check=_check,
    result=lambda spec, _job_id: JobResult(labeler=spec.labeler),
)
