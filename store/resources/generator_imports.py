"""Generators from checkpoints made elsewhere: the request, checked before a worker touches the file."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import Connection, select

from store.database.database import Database
from store.egress import check_url
from store.errors import EgressRefused, InvalidRequest, NotFound, Problem
from store.jobs.kinds import IMPORT_GENERATOR
from store.jobs.states import ACTIVE_JOB_STATES
from store.jobs.submit import Asked, Submission, submit_job
from store.resources.catalogue import catalogue
from store.resources.generators import find_generator
from store.specs import ImportGeneratorSpec
from store.tables import jobs
from store.uploads.files import upload_missing


def submit_import(db: Database, spec: ImportGeneratorSpec, **asked: Unpack[Asked]) -> Submission:
    """Accept an `import_generator` job.

    Raises InvalidRequest with every problem found, QuotaExceeded, IdempotencyMismatch, StoreUnavailable, StorageFull.
    """
    tenant = asked["tenant"]

    def check(connection: Connection) -> None:
        problems = _name_problems(connection, spec.name, tenant)
        problems += _source_problems(connection, db, spec.source, tenant)
        if problems:
            raise InvalidRequest("the checkpoint cannot be imported like this", problems)

    return submit_job(db, IMPORT_GENERATOR, spec=spec.model_dump(mode="json"), seed=0, total=0, check=check, **asked)


def is_url(source: str) -> bool:
    """Whether a source is a URL, rather than an upload or a name of the catalogue."""
    return "://" in source


def is_upload(source: str) -> bool:
    """Whether a source is an upload."""
    return source.startswith("upl_")


def _name_problems(connection: Connection, name: str, tenant: str) -> list[Problem]:
    try:
        find_generator(connection, name, tenant=tenant)
        return [Problem(f"there is a generator {name!r} already", "/name")]
    except NotFound:
        pass
    same = select(jobs.c.id).where(
        jobs.c.tenant == tenant,
        jobs.c.kind == IMPORT_GENERATOR.name,
        jobs.c.state.in_(ACTIVE_JOB_STATES),
        jobs.c.spec["name"].as_string() == name,
    )
    job = connection.execute(same.limit(1)).scalar()
    return [Problem(f"{job} is importing a generator {name!r}", "/name")] if job else []


def _source_problems(connection: Connection, db: Database, source: str, tenant: str) -> list[Problem]:
    if is_url(source):
        try:
            check_url(source, trusted_hosts=db.settings.egress.trusted_hosts)
        except EgressRefused as error:
            return [Problem(error.detail, "/source")]
        return []
    if is_upload(source):
        why_not = upload_missing(connection, source, tenant=tenant)
        return [Problem(why_not, "/source")] if why_not else []
    if source not in catalogue():
        return [Problem(f"no checkpoint {source!r} in the catalogue; known: {', '.join(catalogue())}", "/source")]
    return []
