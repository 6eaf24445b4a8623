"""Evaluations: the quality of a dataset, measured by a job with held-out labels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from starlette.responses import Response

from api.backend import Db, Objects
from api.jobs.requests import JobRoute
from api.jobs.submission import Asking, started
from api.protocol.file_responses import download, file_response
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.evaluations import Evaluation, evaluation_document
from api.security.scopes import Tenant
from store.database.paging import DEFAULT_PAGE
from store.job_kinds.evaluate import EvaluateSpec
from store.resources import evaluations as stored

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"], route_class=JobRoute)

RETRY_AFTER = "5"
EXAMPLE = {"dataset": "ds_01jd0c5w6w3m8z4k1x2y3z4a5b", "labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "repeats": 3}
JOB = started("The job that evaluates; its id is the evaluation's.", "The evaluation")


@router.post("", status_code=202, response_model=None, responses=JOB | documented(400, 413, 415, 422, 429, 507))
async def create_evaluation(
    spec: Annotated[EvaluateSpec, Body(examples=[EXAMPLE])],
    asked: Asking,
) -> Response:
    """Train networks on the dataset and on its labels alone, compare on held-out labels, and return a verdict."""
    return await asked.start(spec, where="/v1/evaluations/{}".format, retry_after=RETRY_AFTER)


@router.get("", responses=documented(422))
def list_evaluations(
    db: Db,
    tenant: Tenant,
    page_size: PageSize = DEFAULT_PAGE,
    page_token: PageToken = None,
    dataset: Annotated[str | None, Query(description="Only those of this dataset.")] = None,
) -> ListOf[Evaluation]:
    """Evaluations, newest first."""
    page = stored.list_evaluations(db, tenant=tenant, dataset=dataset, page_size=page_size, page_token=page_token)
    return list_of(page, evaluation_document)


@router.get("/{evaluation_id}", responses=documented(404, 422))
def get_evaluation(evaluation_id: str, db: Db, tenant: Tenant) -> Evaluation:
    """One evaluation."""
    return evaluation_document(stored.get_evaluation(db, evaluation_id, tenant=tenant))


@download(router, "/{evaluation_id}/report", "text/html", "The report.")
def get_report(evaluation_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """Verdict, gates, tables, curves and pictures as one page that needs nothing else."""
    file = stored.get_report(db, evaluation_id, stored.REPORT_HTML, tenant=tenant)
    return file_response(request, objects, file, attachment=False)


@download(router, "/{evaluation_id}/report.json", "application/json", "The report.")
def get_report_json(evaluation_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """The same numbers for programs."""
    file = stored.get_report(db, evaluation_id, stored.REPORT_JSON, tenant=tenant)
    return file_response(request, objects, file, attachment=False)
