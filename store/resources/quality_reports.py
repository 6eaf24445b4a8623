"""Quality reports of labelers and generators: each made by a job of its own and kept with its resource; the newest one
counts.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from store.database.database import Database
from store.errors import NotReady
from store.resources.files import File, files_of, get_file
from store.tables import jobs

#: Reports stand among the files of their resource.
FOLDER = "reports/"
REPORT_JSON, REPORT_PNG, REPORT_HTML = "report.json", "report.png", "report.html"


def report_file(job_id: str, name: str) -> str:
    """The name of a report among its resource's files."""
    return f"{FOLDER}{job_id}/{name}"


def newest_report(db: Database, resource_id: str, name: str, *, tenant: str, ask: str) -> File:
    """A file of the newest report of a resource. Raises NotReady where it has none (yet); ask: how to ask for one."""
    with db.read() as connection:
        newest = _newest(connection, resource_id, tenant)
    if newest is None:
        raise NotReady(f"{resource_id} has no quality report yet; ask for it with {ask}")
    return get_file(db, resource_id, report_file(newest, name), tenant=tenant)


def has_report(db: Database, resource_id: str, *, tenant: str) -> bool:
    """Whether there is a quality report."""
    with db.read() as connection:
        return _newest(connection, resource_id, tenant) is not None


def _newest(connection: Connection, resource_id: str, tenant: str) -> str | None:
    """The job that made the newest report."""
    made = {file.name.split("/")[1] for file in files_of(connection, resource_id, tenant=tenant, prefix=FOLDER)}
    if not made:
        return None
    query = select(jobs.c.id).where(jobs.c.tenant == tenant, jobs.c.id.in_(made))
    newest: str | None = connection.execute(query.order_by(jobs.c.finished_at.desc(), jobs.c.id.desc())).scalar()
    return newest
