"""Samples for people to label: each set is made by a job of its own, and its id is that job's with another prefix."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import select

from store.database.clock import to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import NotFound, NotReady
from store.job_kinds import draw_samples
from store.job_kinds.checks import samples_job
from store.resources.files import File, get_file
from store.tables import jobs

#: Names of a set's files: images with what labelling needs, and the codes that drew them.
ARCHIVE, CODES = "samples.zip", "codes.safetensors"


@dataclass(frozen=True, slots=True)
class SampleSet:
    """`id`: `smp_…`. `job_id`, `name` and `state` are those of the job that draws it. `spec`: its request."""

    id: str
    job_id: str
    name: str | None
    state: str
    seed: int
    spec: dict[str, Any]
    created_at: datetime


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
    query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.kind == draw_samples.KIND.name)
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
    return SampleSet(
        draw_samples.sample_set_id(row.id), row.id, row.spec.get("name"), row.state, row.seed, row.spec, created
    )
