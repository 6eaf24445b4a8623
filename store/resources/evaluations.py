"""Evaluations of datasets, each made by a job of its own and known by that job's id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel
from sqlalchemy import Connection, select

from store.database.clock import to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import NotFound, NotReady
from store.job_kinds import evaluate
from store.resources.files import File, get_file
from store.tables import files, jobs

#: Evaluations stand among their dataset's files, and go when it goes.
FOLDER = "evaluations/"
REPORT_JSON, REPORT_HTML = "report.json", "report.html"


class _Asked(BaseModel):
    """Fields of a stored request, of this release or an earlier one."""

    dataset: str
    labels: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`id`, `name` and `state` are those of the job. `labels`: the held-out ones, as the request names them.
    `finished`: whether its report is there.
    """

    id: str
    name: str | None
    dataset: str
    labels: str
    state: str
    finished: bool
    created_at: datetime


def evaluation_file(evaluation_id: str, name: str) -> str:
    """The name of an evaluation's file among its dataset's files."""
    return f"{FOLDER}{evaluation_id}/{name}"


def get_evaluation(db: Database, evaluation_id: str, *, tenant: str) -> Evaluation:
    """One evaluation. Raises NotFound."""
    query = select(jobs).where(jobs.c.id == evaluation_id, jobs.c.tenant == tenant, jobs.c.kind == evaluate.KIND.name)
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(f"no evaluation {evaluation_id!r}")
        return _evaluation(connection, row)


def list_evaluations(
    db: Database,
    *,
    tenant: str,
    dataset: str | None = None,
    page_size: int = DEFAULT_PAGE,
    page_token: str | None = None,
) -> Page[Evaluation]:
    """Evaluations, newest first; of one dataset alone where it is given. Raises InvalidRequest for a bad token."""
    query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.kind == evaluate.KIND.name)
    if dataset is not None:
        query = query.where(jobs.c.spec["dataset"].as_string() == dataset)
    with db.read() as connection:
        return page(
            connection,
            query,
            jobs,
            lambda row: _evaluation(connection, row),
            page_size=page_size,
            page_token=page_token,
        )


def get_report(db: Database, evaluation_id: str, name: str, *, tenant: str) -> File:
    """A file of an evaluation. Raises NotFound, NotReady while it is being made or when it failed."""
    found = get_evaluation(db, evaluation_id, tenant=tenant)
    try:
        return get_file(db, found.dataset, evaluation_file(evaluation_id, name), tenant=tenant)
    except NotFound:
        raise NotReady(f"{evaluation_id} is {found.state} and has no report; see /v1/jobs/{evaluation_id}") from None


def _evaluation(connection: Connection, row: Any) -> Evaluation:
    asked = _Asked.model_validate(row.spec)
    dataset = asked.dataset
    name = evaluation_file(row.id, REPORT_JSON)
    found = connection.execute(select(files.c.key).where(files.c.resource_id == dataset, files.c.name == name)).first()
    created = cast(datetime, to_datetime(row.created_at))
    return Evaluation(row.id, asked.name, dataset, asked.labels, row.state, found is not None, created)
