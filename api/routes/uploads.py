"""Uploads: announced and then sent, or sent at once (in parts: `upload_parts`).

Kept only when every byte is what was announced.
"""

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.archives.upload_check import UPLOADED, refuse_broken
from api.backend import Db, Objects
from api.protocol.errors import ApiError
from api.protocol.idempotency import IdempotencyHeader, answer_once, created, creation_headers, key_of
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.protocol.request_bodies import media_type_of, small_body, stream_into
from api.protocol.request_checks import text_problems
from api.schemas.base import ListOf, list_of
from api.schemas.uploads import Filename, Sha256, Upload, UploadRequest, upload_document
from api.security.scopes import Tenant
from store.database.database import Database
from store.database.idempotency import IdempotencyKey
from store.database.paging import DEFAULT_PAGE
from store.errors import StoreError, StoreUnavailable
from store.objects import ObjectInfo, ObjectStore, ObjectWriter, verified
from store.uploads import files as stored

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

ARCHIVE_TYPES = (
    "application/zip",
    "application/x-zip-compressed",
    "application/x-tar",
    "application/gzip",
    "application/octet-stream",
)
BINARY = {"schema": {"type": "string", "format": "binary"}}
ARCHIVE_BODY = dict.fromkeys(ARCHIVE_TYPES, BINARY)
ANNOUNCEMENT_EXAMPLE = {
    "filename": "heads50.zip",
    "size": 183264,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "purpose": "label-set",
}
CREATE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/UploadRequest"},
                "example": ANNOUNCEMENT_EXAMPLE,
            },
            **ARCHIVE_BODY,
        },
    }
}
CONTENT_BODY = {"requestBody": {"required": True, "content": ARCHIVE_BODY}}


@router.post(
    "",
    status_code=201,
    response_model=None,
    openapi_extra=CREATE_BODY,
    responses=created("The upload", Upload) | documented(400, 409, 413, 415, 422, 429, 507),
)
async def create_upload(
    request: Request,
    db: Db,
    objects: Objects,
    tenant: Tenant,
    filename: Annotated[Filename, Query(description="For an archive sent at once.")] = "labels.zip",
    sha256: Annotated[Sha256 | None, Query(description="For an archive sent at once: what it must have.")] = None,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Upload images or a checkpoint as the body, or announce the file as JSON and PUT its content.

    A checkpoint is a generator's `.pkl`, `.pt` or `.safetensors`. An archive is a zip or tar with `images/`, `masks/`
    of the same names (palette or grey PNG, one class id a pixel) and `classes.json`; or as COCO, Pascal VOC,
    Cityscapes, CamVid, CelebAMask-HQ, YOLO segmentation, CVAT XML, Label Studio JSON (docs/formats.md).
    Photographs without labels, for an image set, are a zip, tar or parquet file (docs/image-sets.md). The job that uses
    the upload checks its content.
    """
    media_type = media_type_of(request)
    if media_type == "application/json":
        announced = announcement(await small_body(request))
        key = key_of(idempotency_key, request, announced)
        return await run_in_threadpool(_announce, db, objects, tenant, announced, key)
    if media_type not in ARCHIVE_TYPES:
        raise ApiError(
            "unsupported_media_type",
            f"Send {ARCHIVE_TYPES[0]}, or application/json to announce an upload; this was {media_type or 'no type'}.",
        )
    upload_id, writer = await run_in_threadpool(stored.start_received, objects, sha256)
    try:
        limit = await run_in_threadpool(stored.upload_limit, db, tenant=tenant)
        await stream_into(writer, request, limit, UPLOADED)
        return await run_in_threadpool(_receive, db, objects, tenant, upload_id, filename, writer, idempotency_key)
    finally:
        await run_in_threadpool(writer.abort)


@router.put(
    "/{upload_id}/content",
    openapi_extra=CONTENT_BODY,
    responses=documented(400, 404, 409, 413, 415, 422, 507),
)
async def put_upload_content(upload_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Upload:
    """Upload the announced bytes. After an error nothing is kept, and the same PUT can be repeated."""
    upload = await run_in_threadpool(stored.get_upload, db, upload_id, tenant=tenant)
    if media_type_of(request) not in ARCHIVE_TYPES:
        raise ApiError("unsupported_media_type", f"Send {ARCHIVE_TYPES[0]} or {ARCHIVE_TYPES[-1]}.")
    writer = await run_in_threadpool(stored.start_upload, db, objects, upload_id, tenant=tenant)
    try:
        await stream_into(writer, request, upload.bytes, UPLOADED)
        return await run_in_threadpool(_complete, db, objects, tenant, upload, writer)
    finally:
        await run_in_threadpool(writer.abort)


@router.get("", responses=documented(422))
def list_uploads(
    db: Db,
    tenant: Tenant,
    state: Annotated[Literal["pending", "complete"] | None, Query(description="Only uploads in this state.")] = None,
    sha256: Annotated[Sha256 | None, Query(description="Only uploads of this file.")] = None,
    page_size: PageSize = DEFAULT_PAGE,
    page_token: PageToken = None,
) -> ListOf[Upload]:
    """Uploads, newest first."""
    page = stored.list_uploads(
        db, tenant=tenant, state=state, sha256=sha256, page_size=page_size, page_token=page_token
    )
    return list_of(page, upload_document)


@router.get("/{upload_id}", responses=documented(404, 422))
def get_upload(upload_id: str, db: Db, tenant: Tenant) -> Upload:
    """One upload."""
    return upload_document(stored.get_upload(db, upload_id, tenant=tenant))


@router.delete("/{upload_id}", status_code=204, responses=documented(404, 409, 422))
def delete_upload(upload_id: str, db: Db, objects: Objects, tenant: Tenant) -> None:
    """Forget an upload that no waiting or running job needs. Label sets that were made from it stay."""
    stored.delete_upload(db, objects, upload_id, tenant=tenant)


def announcement(body: bytes) -> UploadRequest:
    """The JSON body, refused in the same shape as every other one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": f"{error}"}]) from error
    found = list(text_problems(document))
    try:
        announced = UploadRequest.model_validate(document)
    except ValidationError as error:
        found += [dict(e) | {"loc": ("body", *e["loc"])} for e in error.errors(include_url=False)]
    if found:
        raise RequestValidationError(found)
    return announced


def _announce(
    db: Database, objects: ObjectStore, tenant: str, announced: UploadRequest, key: IdempotencyKey | None
) -> Response:
    created = stored.create_upload(
        db,
        tenant=tenant,
        filename=announced.filename,
        size=announced.size,
        sha256=announced.sha256,
        direct=objects.direct,
        idempotency_key=key,
    )
    return _created(db, tenant, created, key)


def _receive(
    db: Database,
    objects: ObjectStore,
    tenant: str,
    upload_id: str,
    filename: str,
    writer: ObjectWriter,
    idempotency_key: str | None,
) -> Response:
    info = writer.finish()
    key = None
    if idempotency_key:
        # The body itself is too large to keep; its digest stands for it.
        key = IdempotencyKey.of(idempotency_key, "POST", f"/v1/uploads?filename={filename}", info.sha256.encode())
    try:
        verified.looked_at(objects, info.key, lambda file: refuse_broken(file, info.bytes, filename))
        created = stored.add_received(db, upload_id, info, tenant=tenant, filename=filename, idempotency_key=key)
    except (ApiError, StoreError) as error:
        _discard(objects, info, error)
        raise
    if created.replayed:
        objects.delete(info.key)
    return _created(db, tenant, created, key)


def _complete(db: Database, objects: ObjectStore, tenant: str, upload: stored.Upload, writer: ObjectWriter) -> Upload:
    return complete_with(db, objects, tenant, upload, writer.finish())


def complete_with(db: Database, objects: ObjectStore, tenant: str, upload: stored.Upload, info: ObjectInfo) -> Upload:
    """The upload, complete with a stored object that has the declared size and digest, if it is one that is taken."""
    try:
        verified.looked_at(objects, info.key, lambda file: refuse_broken(file, info.bytes, upload.filename))
        return upload_document(stored.complete_upload(db, upload.id, info, tenant=tenant))
    except (ApiError, StoreError) as error:
        _discard(objects, info, error)
        raise


def _discard(objects: ObjectStore, info: ObjectInfo, error: Exception) -> None:
    """Keep nothing of what was refused. After a lost connection the row may stand: then the sweeper decides."""
    if not isinstance(error, StoreUnavailable):
        objects.delete(info.key)


def _created(db: Database, tenant: str, made: stored.CreatedUpload, key: IdempotencyKey | None) -> Response:
    headers = creation_headers(f"/v1/uploads/{made.upload.id}", made.replayed)
    return answer_once(db, tenant, key, made, 201, lambda: upload_document(made.upload), headers)
