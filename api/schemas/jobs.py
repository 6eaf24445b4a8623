"""Jobs as their callers see them."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from api.protocol.problems import ProblemItem
from api.schemas.base import Document, Info
from store.job_kinds import KINDS
from store.jobs.views import Job as StoredJob

JobState = Literal["queued", "running", "finalizing", "succeeded", "canceling", "canceled", "failed", "expired"]
if TYPE_CHECKING:
    JobKind = str
else:
    JobKind = Literal[tuple(KINDS)]


class Step(Document):
    """One step; `done` of `total` in its own unit."""

    name: str = Field(examples=["invert"])
    title: str = Field(examples=["inverting images"], description="Display name.")
    state: Literal["pending", "running", "succeeded", "failed", "canceled"]
    done: int
    total: int = Field(description="0 while unknown.")
    started_at: datetime | None
    finished_at: datetime | None


class Counts(Document):
    """Images. At the end `done + rejected + failed` is `total`; `failed` ones could not be made."""

    total: int
    done: int
    rejected: int
    failed: int


class JobProblem(ProblemItem):
    """One of the things that made a job fail."""

    picture: str | None = Field(
        default=None,
        description="Of the first labels that are wrong, a PNG as a `data:` URL: the image, and the label over it with "
        "what belongs to no class in red. Lists leave it out.",
    )


class JobError(Document):
    """Why the job failed."""

    code: str = Field(examples=["bad_label_set"])
    detail: str
    retryable: bool = Field(description="Whether the same request may succeed later.")
    errors: list[JobProblem] = Field(description="Every problem found, each naming its file or field.")


class JobUrls(Document):
    """Addresses of a job."""

    self: str
    cancel: str
    resume: str = Field(description="For a job that failed.")
    events: str
    result: str | None = Field(description="What the job was for, once it is there: a dataset, a labeler, …")


class Job(Document):
    """Loop on `state`: `succeeded`, `canceled` and `expired` never change again, `failed` only by `resume`."""

    id: str = Field(examples=["job_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    kind: JobKind
    name: str | None = Field(description="The caller's name for the job, from the request.")
    state: JobState
    steps: list[Step]
    counts: Counts
    queue_position: int | None = Field(description="1 is next; absent once started.")
    estimated_finish_at: datetime | None = Field(
        description="By the pace of this job and of earlier ones; rough until a job with the generator has ended. Null "
        "while the labels of such a first job were not read yet."
    )
    attempts: int
    seed: int = Field(description="What a null seed in the request was drawn to.")
    labels: dict[str, str] = Field(description="The caller's own names, `labels_map` of the request.")
    request: Info = Field(description="The request as it was accepted, defaults filled in.")
    result: Info = Field(
        description="Ids of what the job has made so far: `dataset`, `label_set`, `labeler`, …; of a finished dataset "
        "its `quality` and `warnings` as well."
    )
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    urls: JobUrls


class Estimate(Document):
    """Expected result of a request; nothing was started."""

    valid: Literal[True] = True
    count: int | None = Field(None, description="Images delivered; null where no dataset is made.")
    candidates: int | None = Field(None, description="Images drawn, of which the most uncertain are dropped.")
    bytes: int | None = Field(None, description="About how large the dataset will be.")
    seconds: float | None = Field(
        description="About how long it will take, without waiting in the queue; 0 for what is there. Null while "
        "nothing comparable was measured and the number of labelled images is not known: check the labels first."
    )
    rough: bool = Field(
        False, description="`seconds` is not measured on this service: typical times on two processor cores."
    )
    labels_checked: bool | None = Field(
        None,
        description="False: the labels are an upload, which this answer did not read; a job of `kind: check_labels` "
        "does, and its `label_set` can stand in the request. Null: the request has no labels.",
    )
    queued_jobs: int = Field(description="Jobs that are waiting already.")


def job_document(job: StoredJob, *, pictures: bool = True) -> Job:
    """The store's view in the words of the contract; `pictures`: with those of problems."""
    error = None
    if job.error is not None:
        errors = [
            JobProblem(
                detail=p.detail,
                pointer=p.pointer,
                picture=f"data:image/png;base64,{p.picture}" if p.picture and pictures else None,
            )
            for p in job.error.problems
        ]
        error = JobError(code=job.error.code, detail=job.error.detail, retryable=job.error.retryable, errors=errors)
    path = f"/v1/jobs/{job.id}"
    return Job(
        id=job.id,
        kind=job.kind,
        name=job.name,
        state=job.state,
        steps=job.steps,
        counts=job.counts,
        queue_position=job.queue_position,
        estimated_finish_at=job.estimated_finish_at,
        attempts=job.attempts,
        seed=job.seed,
        labels=job.labels,
        request=job.spec,
        result=job.result.to_json(),
        error=error,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        urls=JobUrls(
            self=path,
            cancel=f"{path}/cancel",
            resume=f"{path}/resume",
            events=f"{path}/events",
            result=_result_url(job),
        ),
    )


def _result_url(job: StoredJob) -> str | None:
    """Return where the result of the job is, once its id is known."""
    makes = KINDS[job.kind].makes if job.kind in KINDS else None
    made = job.result.ids.get(makes.key) if makes is not None else None
    return f"/v1/{makes.collection}/{made}" if makes is not None and made is not None else None
