"""Encoders: trained for a generator by a job, with what they are worth."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from starlette.responses import JSONResponse, Response

from api.backend import Db, Objects
from api.content import download, file_response
from api.headers import IdempotencyHeader
from api.paging import PageSize, PageToken
from api.problems import documented
from api.schemas.base import ListOf
from api.schemas.encoders import Encoder, encoder_document
from api.schemas.jobs import Job, job_document
from api.schemas.resources import file_document
from api.tenancy import Tenant
from store import made
from store.db import Database
from store.encoders import submit_train_encoder
from store.errors import NotFound
from store.files import get_file, list_files
from store.idempotency import IdempotencyKey, remember_answer
from store.specs import TrainEncoderSpec

router = APIRouter(prefix="/v1/encoders", tags=["encoders"])

RETRY_AFTER = "2"
JOB: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The job that trains it.",
        "model": Job,
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "The job."},
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until it makes sense to ask."},
            "Idempotent-Replayed": {"schema": {"type": "string"}, "description": "`true`: this key made it before."},
        },
    },
}


@router.post(
    "", status_code=202, response_model=None, responses=JOB | documented(400, 404, 409, 413, 415, 422, 429, 507)
)
def create_encoder(
    spec: Annotated[TrainEncoderSpec, Body(examples=[{"generator": "heads64", "train_on": "samples", "steps": 3000}])],
    request: Request,
    db: Db,
    tenant: Tenant,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Train an encoder for a generator. The job's `result.encoder` names it; equal requests share one."""
    key = None
    if idempotency_key:
        key = IdempotencyKey.of(idempotency_key, "POST", "/v1/encoders", spec.model_dump_json().encode())
    submitted = submit_train_encoder(db, spec, tenant=tenant, request_id=request.state.request_id, idempotency_key=key)
    headers = {"Location": f"/v1/jobs/{submitted.job.id}", "Retry-After": RETRY_AFTER}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    if submitted.replayed and submitted.answer:
        return JSONResponse(submitted.answer["body"], submitted.answer["status"], headers=headers)
    body = job_document(submitted.job).model_dump(mode="json")
    if key and not submitted.replayed:
        remember_answer(db, tenant, key, {"status": 202, "body": body})
    return JSONResponse(body, 202, headers=headers)


@router.get("", responses=documented(422))
def list_encoders(db: Db, tenant: Tenant, page_size: PageSize = 50, page_token: PageToken = None) -> ListOf[Encoder]:
    """Encoders, newest first."""
    page = made.list_encoders(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return ListOf(
        items=[encoder_with_pictures(db, tenant, one) for one in page.items], next_page_token=page.next_page_token
    )


@router.get("/{encoder_id}", responses=documented(404, 422))
def get_encoder(encoder_id: str, db: Db, tenant: Tenant) -> Encoder:
    """One encoder with its report."""
    return encoder_with_pictures(db, tenant, made.get_encoder(db, encoder_id, tenant=tenant))


@download(router, "/{encoder_id}/pictures/{name:path}", "image/png", "The picture.")
def get_encoder_picture(
    encoder_id: str, name: str, request: Request, db: Db, objects: Objects, tenant: Tenant
) -> Response:
    """Rows of an image and of what each iteration draws of it."""
    file = get_file(db, made.get_encoder(db, encoder_id, tenant=tenant).id, name, tenant=tenant)
    if file.media_type != "image/png":
        raise NotFound(f"{encoder_id} has no picture {name!r}")
    return file_response(request, objects, file, attachment=False)


def encoder_with_pictures(db: Database, tenant: str, encoder: made.Made) -> Encoder:
    pictures = [
        file_document(file, f"/v1/encoders/{encoder.id}/pictures/{file.name}")
        for file in list_files(db, encoder.id, tenant=tenant)
        if file.media_type == "image/png"
    ]
    return encoder_document(encoder, pictures)
