"""Samples for people to label: each set is made by a job of its own, and its id is that job's with another prefix."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack, cast

from sqlalchemy import Connection, select

from store.database.clock import to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import InvalidRequest, NotFound, NotReady
from store.jobs.checks import SAMPLES_PREFIX, drawing_problems, reference_problems, samples_job, wanted_generator
from store.jobs.kinds import DRAW_SAMPLES
from store.jobs.submit import Asked, Submission, submit_job
from store.resources.files import File, get_file
from store.specs import DrawSamplesSpec
from store.tables import jobs

#: Names of a set's files: images with what labelling needs, and the codes that drew them.
ARCHIVE, CODES = "samples.zip", "codes.safetensors"


@dataclass(frozen=True, slots=True)
class SampleSet:
    """`id`: `smp_…`. `job_id` and `state` are those of the job that draws it."""

    id: str
    job_id: str
    state: str
    seed: int
    spec: dict[str, Any]
    created_at: datetime


def submit_draw_samples(db: Database, spec: DrawSamplesSpec, **asked: Unpack[Asked]) -> Submission:
    """Accept a `draw_samples` job. Raises InvalidRequest with every problem found, QuotaExceeded, IdempotencyMismatch,
    StoreUnavailable, StorageFull.
    """

    def check(connection: Connection) -> None:
        generator = wanted_generator(connection, spec.generator, asked["tenant"])
        problems = reference_problems(
            connection, db, tenant=asked["tenant"], labels=None, generator=generator, count=spec.count
        )
        problems += drawing_problems(spec, generator)
        if problems:
            raise InvalidRequest("these samples cannot be drawn", problems)

    return submit_job(
        db,
        DRAW_SAMPLES,
        spec=spec.model_dump(mode="json"),
        seed=spec.seed,
        total=spec.count,
        check=check,
        result=lambda job_id: {"samples": sample_set_id(job_id)},
        **asked,
    )


def sample_set_id(job_id: str) -> str:
    """The id of what a `draw_samples` job makes."""
    return SAMPLES_PREFIX + job_id.partition("_")[2]


def get_sample_set(db: Database, sample_set_id: str, *, tenant: str) -> SampleSet:
    """One set. Raises NotFound."""
    with db.read() as connection:
        row = samples_job(connection, sample_set_id, tenant)
    if row is None:
        raise NotFound(f"no samples {sample_set_id!r}")
    return _sample_set(row)


def list_sample_sets(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[SampleSet]:
    """Sets, newest first. Raises InvalidRequest for a bad token."""
    query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.kind == DRAW_SAMPLES.name)
    with db.read() as connection:
        return page(connection, query, jobs, _sample_set, page_size=page_size, page_token=page_token)


def get_samples_file(db: Database, sample_set_id: str, name: str, *, tenant: str) -> File:
    """A file of a set. Raises NotFound, NotReady while it is being drawn or when that failed."""
    found = get_sample_set(db, sample_set_id, tenant=tenant)
    try:
        return get_file(db, found.id, name, tenant=tenant)
    except NotFound:
        raise NotReady(f"{found.id} is {found.state}; see /v1/jobs/{found.job_id}") from None


def _sample_set(row: Any) -> SampleSet:
    created = cast(datetime, to_datetime(row.created_at))
    return SampleSet(sample_set_id(row.id), row.id, row.state, row.seed, row.spec, created)
