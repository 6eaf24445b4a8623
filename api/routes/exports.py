"""Exports: a finished dataset in other formats, made by a job on request."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from api.backend import Db
from api.jobs.submission import Asking, started
from api.protocol.paging import NumberToken, PageSize, page_of
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.exports import Export, ExportRequest, export_document
from api.security.scopes import Tenant
from store.database.paging import MAX_PAGE
from store.job_kinds.export import ExportSpec
from store.resources.exports import list_exports as stored_exports

router = APIRouter(prefix="/v1/datasets/{dataset_id}/exports", tags=["datasets"])

JOB = started("The job that makes it.")


@router.post(
    "",
    status_code=202,
    response_model=None,
    responses=JOB | documented(400, 404, 409, 410, 413, 415, 422, 429, 507),
)
async def create_export(
    dataset_id: str,
    body: Annotated[ExportRequest, Body(examples=[{"format": "coco"}])],
    asked: Asking,
) -> Response:
    """Have the dataset written in another format, once: asking for the same format and split again gives the same job.
    Then fetch it from the export's `url`, `GET /v1/datasets/{id}/archive?format=…`.
    """
    return await asked.start(ExportSpec(dataset=dataset_id, **body.model_dump()))


@router.get("", responses=documented(404, 422))
def list_exports(
    dataset_id: str, db: Db, tenant: Tenant, page_size: PageSize = MAX_PAGE, page_token: NumberToken = None
) -> ListOf[Export]:
    """Every format and split that was asked for, with size and SHA-256 where it is ready."""
    page = page_of(stored_exports(db, dataset_id, tenant=tenant), page_size, page_token)
    return list_of(page, lambda one: export_document(dataset_id, one))
