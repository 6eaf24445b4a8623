"""Quality reports of labelers: each made by a job of its own and kept with its labeler; the newest one counts."""

from __future__ import annotations

from sqlalchemy import Connection, select

from store.database.database import Database
from store.errors import NotReady
from store.resources.artifacts import get_labeler
from store.resources.files import File, files_of, get_file
from store.tables import jobs

#: Reports stand among their labeler's files.
FOLDER = "reports/"
REPORT_JSON, REPORT_PNG, REPORT_HTML = "report.json", "report.png", "report.html"


def report_file(job_id: str, name: str) -> str:
    """The name of a report among its labeler's files."""
    return f"{FOLDER}{job_id}/{name}"


def get_labeler_report(db: Database, labeler_id: str, name: str, *, tenant: str) -> File:
    """A file of the labeler's newest report. Raises NotFound, NotReady where it has none (yet)."""
    get_labeler(db, labeler_id, tenant=tenant)
    with db.read() as connection:
        newest = _newest(connection, labeler_id, tenant)
    if newest is None:
        how = f"ask for it with POST /v1/labelers/{labeler_id}/reports"
        raise NotReady(f"{labeler_id} has no quality report yet; {how}")
    return get_file(db, labeler_id, report_file(newest, name), tenant=tenant)


def has_report(db: Database, labeler_id: str, *, tenant: str) -> bool:
    """Whether there is a quality report."""
    with db.read() as connection:
        return _newest(connection, labeler_id, tenant) is not None


def _newest(connection: Connection, labeler_id: str, tenant: str) -> str | None:
    """The job that made the newest report."""
    made = {file.name.split("/")[1] for file in files_of(connection, labeler_id, tenant=tenant, prefix=FOLDER)}
    query = select(jobs.c.id).where(jobs.c.tenant == tenant, jobs.c.id.in_(made))
    newest: str | None = connection.execute(query.order_by(jobs.c.finished_at.desc(), jobs.c.id.desc())).scalar()
    return newest
