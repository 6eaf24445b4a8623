"""Samples for people to label."""

from datetime import datetime

from pydantic import Field

from api.schemas.base import Document, Info
from api.schemas.jobs import JobState
from store.resources.sample_sets import SampleSet as StoredSampleSet


class SampleSet(Document):
    """Images of a generator for people to label. Labelled ones are uploaded, and named by `samples` of a job."""

    id: str = Field(examples=["smp_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    job: str = Field(description="The job that draws them.")
    name: str | None = Field(description="The name of that job.")
    state: JobState
    seed: int
    request: Info = Field(description="Generator, count, sampling settings.")
    archive: str | None = Field(description="Zip with the images and how to label them, once they are drawn.")
    created_at: datetime


def sample_set_document(found: StoredSampleSet) -> SampleSet:
    """Return the document of a sample set."""
    return SampleSet(
        id=found.id,
        job=found.job_id,
        name=found.name,
        state=found.state,
        seed=found.seed,
        request=found.spec,
        archive=f"/v1/sample-sets/{found.id}/archive" if found.state == "succeeded" else None,
        created_at=found.created_at,
    )
