"""Exports: a finished dataset in other people's formats, made by a job when somebody asks."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from starlette.responses import JSONResponse, Response

from api.backend import Db
from api.headers import IdempotencyHeader
from api.problems import documented
from api.schemas.base import ListOf
from api.schemas.exports import Export, ExportRequest, export_document
from api.schemas.jobs import Job, job_document
from api.tenancy import Tenant
from store.exports import list_exports as stored_exports
from store.exports import submit_export
from store.idempotency import IdempotencyKey, remember_answer
from store.specs import ExportSpec

router = APIRouter(prefix="/v1/datasets/{dataset_id}/exports", tags=["datasets"])

RETRY_AFTER = "2"
JOB: dict[int | str, dict[str, Any]] = {
    200: {"description": "It is there already: the job that made it.", "model": Job},
    202: {
        "description": "The job that makes it.",
        "model": Job,
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "The job."},
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until it makes sense to ask."},
            "Idempotent-Replayed": {"schema": {"type": "string"}, "description": "`true`: this key made it before."},
        },
    },
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
    path = f"/v1/datasets/{dataset_id}/exports"
    key = IdempotencyKey.of(idempotency_key, "POST", path, spec.model_dump_json().encode()) if idempotency_key else None
    made = submit_export(db, spec, tenant=tenant, request_id=request.state.request_id, idempotency_key=key)
    headers = {"Location": f"/v1/jobs/{made.job.id}"}
    if made.replayed:
        headers["Idempotent-Replayed"] = "true"
    if made.replayed and made.answer:
        return JSONResponse(made.answer["body"], made.answer["status"], headers=headers)
    status = 200 if made.job.terminal else 202
    if status == 202:
        headers["Retry-After"] = RETRY_AFTER
    body = job_document(made.job).model_dump(mode="json")
    if key and not made.replayed:
        remember_answer(db, tenant, key, {"status": status, "body": body})
    return JSONResponse(body, status, headers=headers)


@router.get("", responses=documented(404, 422))
def list_exports(dataset_id: str, db: Db, tenant: Tenant) -> ListOf[Export]:
    """Every format that was asked for, with size and SHA-256 where it is ready."""
    found = stored_exports(db, dataset_id, tenant=tenant)
    return ListOf(items=[export_document(dataset_id, one) for one in found], next_page_token=None)
