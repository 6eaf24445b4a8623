"""Large uploads in parts: any order, each with its digest, sent again where it broke off, joined by one call."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Body, Path, Query, Request
from starlette.concurrency import run_in_threadpool

from api.archives.upload_check import UPLOADED
from api.backend import Db, Objects
from api.protocol.errors import ApiError
from api.protocol.paging import NumberToken, PageSize, coerced, position_of, token_for
from api.protocol.problems import documented
from api.protocol.request_bodies import media_type_of, stream_into
from api.routes.uploads import complete_with
from api.schemas.base import ListOf
from api.schemas.uploads import (
    CompleteUploadRequest,
    PartLink,
    PartLinks,
    PartLinksRequest,
    PartNumber,
    Sha256,
    Upload,
    UploadPart,
    upload_document,
)
from api.security.scopes import Tenant
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE
from store.errors import InvalidRequest, Problem, StoreError, StoreUnavailable
from store.objects import ObjectStore, ObjectWriter, verified
from store.uploads import direct_parts, files, parts

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

PART_TYPE = "application/octet-stream"
#: How long a link takes the part it is for.
LINK_SECONDS = 3600
#: Uploads that are read through at once, to be completed; others wait. Each takes a thread for as long as its file is
#: large, and most of the threads are to be there for requests that are short.
READERS = CapacityLimiter(8)
COMPLETE_EXAMPLE = {
    "parts": [{"number": 1, "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]
}
LINKS_EXAMPLE = {"parts": [{"number": 1, "md5": "9e107d9d372bb6826bd81d3542a419d6"}]}
PART_BODY = {
    "requestBody": {"required": True, "content": {PART_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.put(
    "/{upload_id}/parts/{number}",
    openapi_extra=PART_BODY,
    responses=documented(400, 404, 409, 413, 415, 422, 429, 507),
)
async def put_upload_part(
    upload_id: str,
    number: Annotated[PartNumber, Path(description="Its place; parts may come in any order and side by side.")],
    request: Request,
    db: Db,
    objects: Objects,
    tenant: Tenant,
    sha256: Annotated[Sha256, Query(description="Of this part, hexadecimal.")],
) -> UploadPart:
    """Upload one part of an announced upload; a part sent again replaces the earlier one.

    Part 1 holds the beginning, by which the kind of file is known: at least 512 bytes, or all there are.
    """
    upload = await run_in_threadpool(files.get_upload, db, upload_id, tenant=tenant)
    if media_type_of(request) != PART_TYPE:
        raise ApiError("unsupported_media_type", f"Send {PART_TYPE}.")
    writer = await run_in_threadpool(parts.start_part, db, objects, upload_id, sha256, tenant=tenant)
    try:
        await stream_into(writer, request, upload.bytes, UPLOADED if number == 1 else None)
        return await run_in_threadpool(_add, db, objects, tenant, upload_id, number, writer)
    finally:
        await run_in_threadpool(writer.abort)


@router.get("/{upload_id}/parts", responses=documented(404, 409, 422))
def list_upload_parts(
    upload_id: str,
    db: Db,
    objects: Objects,
    tenant: Tenant,
    page_size: PageSize = DEFAULT_PAGE,
    page_token: NumberToken = None,
) -> ListOf[UploadPart]:
    """List the stored parts by number, to continue an interrupted upload."""
    position, size = position_of(page_token), coerced(page_size)
    rest = [part for part in _parts(db, objects, tenant, upload_id) if part.number > position]
    return ListOf(items=rest[:size], next_page_token=token_for(rest[size - 1].number) if len(rest) > size else None)


@router.post(
    "/{upload_id}/part-links",
    responses=documented(400, 404, 409, 413, 415, 422, 429),
)
def create_part_links(
    upload_id: str,
    body: Annotated[PartLinksRequest, Body(examples=[LINKS_EXAMPLE])],
    db: Db,
    objects: Objects,
    tenant: Tenant,
) -> PartLinks:
    """Links to send parts of an announced upload straight to the storage, where that is an object store.

    Part 1 is the first `part_size` bytes of the file, and so on. PUT each to its `url` with its `headers` and without
    an API key; a link that has expired is asked for again. Then complete the upload without naming the parts. The
    declared size counts as stored from the first link on.
    """
    wanted = [(part.number, part.md5) for part in body.parts]
    expires_at = datetime.now(UTC) + timedelta(seconds=LINK_SECONDS)
    links = direct_parts.part_links(db, objects, upload_id, wanted, seconds=LINK_SECONDS, tenant=tenant)
    items = [PartLink(number=one.number, size=one.bytes, url=one.link.url, headers=one.link.headers) for one in links]
    return PartLinks(items=items, expires_at=expires_at)


@router.post("/{upload_id}/complete", responses=documented(400, 404, 409, 413, 415, 422, 507))
async def complete_upload(
    upload_id: str,
    body: Annotated[CompleteUploadRequest, Body(examples=[COMPLETE_EXAMPLE])],
    db: Db,
    objects: Objects,
    tenant: Tenant,
) -> Upload:
    """Join the parts into the file that was announced. Repeated, it answers with the upload.

    The whole file is read and compared with its digest before the response: a few seconds a gigabyte. After an error
    the parts stay, except parts sent directly to the storage that are complete and differ from the announced file.
    """
    return await to_thread.run_sync(_complete, db, objects, tenant, upload_id, body, limiter=READERS)


def _complete(db: Database, objects: ObjectStore, tenant: str, upload_id: str, body: CompleteUploadRequest) -> Upload:
    upload = files.get_upload(db, upload_id, tenant=tenant)
    if upload.state == "complete":
        return upload_document(upload)
    if body.parts is None and upload.multipart is None:
        raise InvalidRequest("the parts have to be named", [Problem("name the parts that were sent", "/parts")])
    if body.parts is None:
        return _complete_direct(db, objects, tenant, upload)
    if upload.multipart is not None:
        problem = Problem("leave this out: the parts went straight to the storage", "/parts")
        raise InvalidRequest("the parts cannot be named", [problem])
    wanted = [(part.number, part.sha256) for part in body.parts]
    joined = parts.join_parts(db, objects, upload_id, wanted, tenant=tenant)
    complete = complete_with(db, objects, tenant, upload, joined.info)
    for key in joined.parts:
        objects.delete(key)
    return complete


def _complete_direct(db: Database, objects: ObjectStore, tenant: str, upload: files.Upload) -> Upload:
    info = direct_parts.join_sent(db, objects, upload, tenant=tenant)
    try:
        verified.looked_at(objects, info.key, lambda file: UPLOADED.check(file.read(UPLOADED.wanted)))
        return complete_with(db, objects, tenant, upload, info)
    except ApiError:
        # It is what was announced, and nothing that is taken: there is no part to send again.
        direct_parts.start_over(db, objects, upload, tenant=tenant)
        raise


def _parts(db: Database, objects: ObjectStore, tenant: str, upload_id: str) -> list[UploadPart]:
    upload = files.get_upload(db, upload_id, tenant=tenant)
    if upload.multipart is None:
        return [_document(part) for part in parts.list_parts(db, upload_id, tenant=tenant)]
    sent = direct_parts.sent_parts(db, objects, upload, tenant=tenant)
    return [UploadPart(number=part.number, size=part.bytes, sha256=None, md5=part.md5 or None) for part in sent]


def _add(
    db: Database, objects: ObjectStore, tenant: str, upload_id: str, number: int, writer: ObjectWriter
) -> UploadPart:
    info = writer.finish()
    try:
        return _document(parts.add_part(db, objects, upload_id, number, info, tenant=tenant))
    except StoreError as error:
        # After a lost connection the row may stand: then the sweeper decides.
        if not isinstance(error, StoreUnavailable):
            objects.delete(info.key)
        raise


def _document(part: parts.Part) -> UploadPart:
    return UploadPart(number=part.number, size=part.bytes, sha256=part.sha256)
