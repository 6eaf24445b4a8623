"""A job as its caller sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, bindparam, exists, select

from store.database.clock import to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import NotFound, Problem
from store.job_kinds import step_title
from store.jobs.job_result import JobResult
from store.jobs.progress import Progress, StepProgress, progress_of, queue_positions
from store.jobs.states import TERMINAL_JOB_STATES
from store.jobs.time_estimate import Estimates
from store.tables import jobs, shards


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `done` of `total` in the step's own unit (images, optimisation steps, …). `title`: display name."""

    name: str
    title: str
    state: str
    done: int
    total: int
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Counts:
    """Images. While the job runs `done` counts those made and still in the race; at its end
    `done + rejected + failed == total`, where `rejected` were dropped by the filter.
    """

    total: int
    done: int
    rejected: int
    failed: int


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed."""

    code: str
    detail: str
    retryable: bool
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `result`: ids of what it has made so far; of a dataset its quality and warnings, too."""

    id: str
    kind: str
    name: str | None
    state: str
    steps: tuple[Step, ...]
    counts: Counts
    queue_position: int | None
    estimated_finish_at: datetime | None
    attempts: int
    seed: int
    spec: dict[str, Any]
    labels: dict[str, str]
    result: JobResult
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None

    @property
    def terminal(self) -> bool:
        """True once the state will not change any more."""
        return self.state in TERMINAL_JOB_STATES


_JOB = select(jobs).where(jobs.c.id == bindparam("job"), jobs.c.tenant == bindparam("tenant"))


def job_view(db: Database, job_id: str, *, tenant: str) -> Job:
    """One job. Raises NotFound."""
    with db.read() as connection:
        row = connection.execute(_JOB, {"job": job_id, "tenant": tenant}).one_or_none()
        if row is None:
            raise NotFound(f"no job {job_id!r}")
        return view(connection, row)


def list_jobs(
    db: Database,
    *,
    tenant: str,
    state: str | None = None,
    kind: str | None = None,
    label: tuple[str, str] | None = None,
    created_after: datetime | None = None,
    page_size: int = DEFAULT_PAGE,
    page_token: str | None = None,
) -> Page[Job]:
    """Jobs, newest first. `label` is a (name, value) pair. Raises InvalidRequest for a bad token."""
    query = select(jobs).where(jobs.c.tenant == tenant)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    if label is not None:
        query = query.where(jobs.c.labels[label[0]].as_string() == label[1])
    if created_after is not None:
        query = query.where(jobs.c.created_at > created_after.timestamp())
    with db.read() as connection:
        found = page(connection, query, jobs, lambda row: row, page_size=page_size, page_token=page_token)
        progress = progress_of(connection, [row.id for row in found.items])
        return Page(_views(connection, found.items, progress), found.next_page_token)


def view(connection: Connection, row: Any, progress: Progress | None = None) -> Job:
    """The view of a row of `jobs`, read in the caller's transaction; `progress` where the caller knows it."""
    known = progress_of(connection, [row.id]) if progress is None else {row.id: progress}
    (job,) = _views(connection, [row], known)
    return job


def _views(connection: Connection, rows: Sequence[Any], progress: Mapping[str, Progress]) -> list[Job]:
    """The views of rows of `jobs`, in a number of queries that does not grow with them."""
    positions = queue_positions(connection, [row for row in rows if row.state == "queued"])
    estimates = Estimates(connection)
    return [_view(row, progress[row.id], positions.get(row.id), estimates) for row in rows]


def _view(row: Any, progress: Progress, queue_position: int | None, estimates: Estimates) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        name=row.spec.get("name"),
        state=row.state,
        steps=_steps(row, progress),
        counts=_counts(row, progress),
        queue_position=queue_position,
        estimated_finish_at=_estimate(row, progress, estimates),
        attempts=progress.attempts,
        seed=row.seed,
        spec=row.spec,
        labels=row.labels,
        result=JobResult.of(row.result),
        error=_error(row),
        created_at=cast(datetime, to_datetime(row.created_at)),
        started_at=to_datetime(row.started_at),
        finished_at=to_datetime(row.finished_at),
        expires_at=to_datetime(row.expires_at),
    )


def _steps(job: Any, progress: Progress) -> tuple[Step, ...]:
    return tuple(
        Step(
            name=step.name,
            title=step_title(job.kind, step.name),
            state=step.state,
            done=0 if step.sums is None else step.sums.done,
            total=_total(job, step),
            started_at=to_datetime(step.started_at),
            finished_at=to_datetime(step.finished_at),
        )
        for step in progress.steps
    )


def _total(job: Any, step: StepProgress) -> int:
    """Return what is known of a step's size: its shards may not all be planned yet, but the job knows its images."""
    if step.sums is None:
        return 0
    return max(step.sums.total, job.total) if step.counts_images else step.sums.total


def _counts(row: Any, progress: Progress) -> Counts:
    if row.state == "succeeded":
        lost = _lost(row, progress)
        return Counts(row.total, row.total - row.rejected - lost, row.rejected, lost)
    counted = progress.counted
    if row.state not in TERMINAL_JOB_STATES:
        return Counts(row.total, min(row.total, sum(one.done for one in counted)), 0, 0)
    done = sum(one.succeeded for one in counted)
    return Counts(row.total, done, 0, row.total - done)


def _lost(row: Any, progress: Progress) -> int:
    """Images of poisoned shards, without which a job ended that was allowed to."""
    if not row.spec.get("allow_partial"):
        return 0
    return sum(one.total - one.succeeded for one in progress.counted)


def _estimate(row: Any, progress: Progress, estimates: Estimates) -> datetime | None:
    if row.state in TERMINAL_JOB_STATES or row.state == "canceling":
        return None
    left = estimates.time_left(row, progress).seconds
    if left is None:
        return None
    # Whole seconds: a reader's ETag should not change with every microsecond of the estimate.
    return datetime.fromtimestamp(int(estimates.now), UTC) + timedelta(seconds=int(left))


def _error(row: Any) -> JobError | None:
    if row.error_code is None:
        return None
    problems = tuple(Problem(**entry) for entry in row.error_problems or ())
    return JobError(row.error_code, row.error_detail or "", bool(row.error_retryable), problems)


def has_shards(connection: Connection, job_id: str, *states: str) -> bool:
    """Whether the job has a shard in one of the states."""
    return bool(
        connection.execute(select(exists().where(shards.c.job_id == job_id, shards.c.state.in_(states)))).scalar_one()
    )
