"""Generators from checkpoints made elsewhere: the request, checked before a worker touches the file."""

from __future__ import annotations

from sqlalchemy import Connection, select

from store.catalogue import catalogue
from store.db import Database
from store.egress import check_url
from store.errors import EgressRefused, InvalidRequest, NotFound, Problem
from store.generators import find_generator
from store.idempotency import IdempotencyKey
from store.jobs.kinds import IMPORT_GENERATOR
from store.jobs.states import ACTIVE_JOB_STATES
from store.jobs.submit import Submission, submit_job
from store.specs import ImportGeneratorSpec
from store.tables import jobs, uploads


def submit_import(
    db: Database,
    spec: ImportGeneratorSpec,
    *,
    tenant: str,
    request_id: str = "",
    idempotency_key: IdempotencyKey | None = None,
) -> Submission:
    """Accept an `import_generator` job.

    Raises InvalidRequest with every problem found, QuotaExceeded, IdempotencyMismatch, StoreUnavailable, StorageFull.
    """

    def check(connection: Connection) -> None:
        problems = _name_problems(connection, spec.name, tenant) + _source_problems(connection, db, spec.source, tenant)
        if problems:
            raise InvalidRequest("the checkpoint cannot be imported like this", problems)

    return submit_job(
        db,
        IMPORT_GENERATOR,
        tenant=tenant,
        spec=spec.model_dump(mode="json"),
        seed=0,
        total=0,
        request_id=request_id,
        idempotency_key=idempotency_key,
        check=check,
    )


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
        upload = select(uploads.c.state).where(uploads.c.id == source, uploads.c.tenant == tenant)
        state = connection.execute(upload).scalar()
        if state is None:
            return [Problem(f"no upload {source!r}", "/source")]
        return [] if state == "complete" else [Problem(f"the upload {source!r} is not complete", "/source")]
    if source not in catalogue():
        return [Problem(f"no checkpoint {source!r} in the catalogue; known: {', '.join(catalogue())}", "/source")]
    return []
