"""Evaluations of datasets."""

from datetime import datetime

from pydantic import Field

from api.schemas.base import Document
from api.schemas.jobs import JobState
from store.resources.evaluations import Evaluation as StoredEvaluation


class Evaluation(Document):
    """An evaluation, known by the id of its job. The reports are there once that has succeeded."""

    id: str = Field(examples=["job_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    name: str | None = Field(description="The name of its job.")
    dataset: str
    labels: str = Field(description="The held-out labels, as they were named.")
    state: JobState
    report: str | None = Field(description="A page for people.")
    report_json: str | None = Field(description="The same for programs: verdict, gates, scores, statistics.")
    created_at: datetime


def evaluation_document(found: StoredEvaluation) -> Evaluation:
    """Return the document of an evaluation."""
    path = f"/v1/evaluations/{found.id}"
    return Evaluation(
        id=found.id,
        name=found.name,
        dataset=found.dataset,
        labels=found.labels,
        state=found.state,
        report=f"{path}/report" if found.finished else None,
        report_json=f"{path}/report.json" if found.finished else None,
        created_at=found.created_at,
    )
