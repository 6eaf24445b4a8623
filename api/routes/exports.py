"""Exports: a finished dataset in other people's formats, made by a job when somebody asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from api.accepted import accepted, job_accepted
from api.backend import Db
from api.idempotency import IdempotencyHeader, key_of
from api.problems import documented
from api.schemas.base import ListOf
from api.schemas.exports import Export, ExportRequest, export_document
from api.schemas.jobs import Job
from api.tenancy import Tenant
from store.exports import list_exports as stored_exports
from store.exports import submit_export
from store.specs import ExportSpec

router = APIRouter(prefix="/v1/datasets/{dataset_id}/exports", tags=["datasets"])

JOB = accepted("The job that makes it.") | {
    200: {"description": "It is there already: the job that made it.", "model": Job}
}


@router.post(
    "",
    status_code=202,
    response_model=None,
    responses=JOB | documented(400, 404, 409, 410, 413, 415, 422, 429, 507),
)
def create_export(
    dataset_id: str,
    asked: Annotated[ExportRequest, Body(examples=[{"format": "coco"}])],
    request: Request,
    db: Db,
    tenant: Tenant,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Have the dataset written in another format, once: asking again gives the same job. Then fetch it with
    `GET /v1/datasets/{id}/archive?format=…`."""
    spec = ExportSpec(dataset=dataset_id, format=asked.format)
    key = key_of(idempotency_key, request, spec)
    submitted = submit_export(db, spec, tenant=tenant, request_id=request.state.request_id, idempotency_key=key)
    return job_accepted(db, tenant, submitted, key)


@router.get("", responses=documented(404, 422))
def list_exports(dataset_id: str, db: Db, tenant: Tenant) -> ListOf[Export]:
    """Every format that was asked for, with size and SHA-256 where it is ready."""
    found = stored_exports(db, dataset_id, tenant=tenant)
    return ListOf(items=[export_document(dataset_id, one) for one in found], next_page_token=None)
