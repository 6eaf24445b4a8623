"""Uploads: a large file on its way in, declared with size and SHA-256, immutable once complete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from store.database import idempotency
from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.idempotency import IdempotencyKey
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import InvalidRequest, NotFound, NotReady, Problem, QuotaExceeded
from store.ids import new_id
from store.jobs.uses import refuse_in_use
from store.objects import DirectParts, ObjectInfo, ObjectStore, ObjectWriter
from store.resources.files import File, add_files, files_of, remove_files, stored_bytes
from store.tables import uploads as table
from store.tenancy.tenants import limits_of, lock_tenant

#: Name of an upload's one file in `files`.
CONTENT = "content"
#: What the names of its parts begin with, until it is complete.
PARTS = "parts/"
#: How long an announced upload waits for its bytes, from the last part of it that came.
PENDING_SECONDS = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Upload:
    """`state` is `pending` until all `bytes` have come, then `complete`; a pending one is forgotten at `expires_at`.

    `part_bytes`: size of the parts that may go straight to the object store; None where the service takes them.
    `multipart`: the object store's name of those parts, once they have begun to.
    """

    id: str
    filename: str
    bytes: int
    sha256: str
    state: Literal["pending", "complete"]
    created_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None
    part_bytes: int | None
    multipart: str | None


@dataclass(frozen=True, slots=True)
class CreatedUpload:
    """An upload and, where an idempotency key repeated an earlier request, the answer remembered from it."""

    upload: Upload
    replayed: bool
    answer: dict[str, Any] | None


def create_upload(
    db: Database,
    *,
    tenant: str,
    filename: str,
    size: int,
    sha256: str,
    direct: DirectParts | None = None,
    idempotency_key: IdempotencyKey | None = None,
) -> CreatedUpload:
    """Declare a file of `size` bytes with hex `sha256`, whose parts may go straight to the object store where that is
    `direct`. Raises InvalidRequest, QuotaExceeded, IdempotencyMismatch.
    """
    _check(upload_limit(db, tenant=tenant), filename, size, sha256)
    values = {"id": new_id("upl"), "filename": filename, "bytes": size, "sha256": sha256.lower(), "state": "pending"}
    values["expires_at"] = database_now() + PENDING_SECONDS
    values["part_bytes"] = direct.part_bytes(size) if direct is not None else None
    return _add(db, values, None, tenant=tenant, idempotency_key=idempotency_key)


def start_received(objects: ObjectStore, sha256: str | None = None) -> tuple[str, ObjectWriter]:
    """An id and a writer for a file that comes without having been declared; then call `add_received`."""
    upload_id = new_id("upl")
    return upload_id, objects.start(object_key(upload_id), sha256=sha256)


def add_received(
    db: Database,
    upload_id: str,
    stored: ObjectInfo,
    *,
    tenant: str,
    filename: str,
    idempotency_key: IdempotencyKey | None = None,
) -> CreatedUpload:
    """A complete upload of the object that `start_received` began. When `replayed` is set, the object is not needed.

    Raises InvalidRequest, QuotaExceeded, IdempotencyMismatch.
    """
    _check(upload_limit(db, tenant=tenant), filename, stored.bytes, stored.sha256)
    values = {
        "id": upload_id,
        "filename": filename,
        "bytes": stored.bytes,
        "sha256": stored.sha256,
        "state": "complete",
        "completed_at": database_now(),
    }
    return _add(db, values, stored, tenant=tenant, idempotency_key=idempotency_key)


def _add(
    db: Database,
    values: dict[str, Any],
    stored: ObjectInfo | None,
    *,
    tenant: str,
    idempotency_key: IdempotencyKey | None,
) -> CreatedUpload:
    upload_id, size = values["id"], values["bytes"]
    for _ in range(2):
        try:
            with db.write() as connection:
                lock_tenant(connection, tenant)
                replay = idempotency.find(connection, tenant, idempotency_key)
                if replay is None:
                    refuse_over_quota(db, connection, size, tenant=tenant)
                    idempotency.keep(connection, tenant, idempotency_key, upload_id)
                    connection.execute(insert(table).values(tenant=tenant, created_at=database_now(), **values))
                    if stored is not None:
                        add_files(connection, tenant, [_content(upload_id, stored)])
            break
        except IntegrityError:
            # The same key came twice at once; the other request won, and the second round finds what it made.
            continue
    if replay is not None:
        return CreatedUpload(get_upload(db, replay.resource_id, tenant=tenant), True, replay.answer)
    return CreatedUpload(get_upload(db, upload_id, tenant=tenant), False, None)


def refuse_over_quota(db: Database, connection: Connection, size: int, *, tenant: str) -> None:
    """Raise QuotaExceeded where the tenant may not keep `size` more bytes. The caller has locked the tenant."""
    limit = limits_of(connection, db.settings.limits, tenant)["stored_bytes"]
    if stored_bytes(connection, tenant) + size > limit:
        raise QuotaExceeded(
            f"storing {size} more bytes would exceed the limit of {limit}", quota="stored_bytes", limit=limit
        )


def object_key(upload_id: str) -> str:
    """A new key for bytes of an upload."""
    # Each sender writes under a key of its own, so that two do not disturb each other.
    return f"uploads/{upload_id}/{new_id('part')}"


def _content(upload_id: str, stored: ObjectInfo) -> File:
    return File(upload_id, CONTENT, stored.key, stored.bytes, stored.sha256, "application/octet-stream")


_STATE = select(table.c.state).where(table.c.id == bindparam("upload"), table.c.tenant == bindparam("tenant"))


def upload_missing(connection: Connection, upload_id: str, *, tenant: str, other: str = "") -> str:
    """Why an upload cannot be used, inside the caller's transaction; empty where it can. `other`: what else the id
    might have been.
    """
    state = connection.execute(_STATE, {"upload": upload_id, "tenant": tenant}).scalar()
    if state is None:
        return f"no upload {f'or {other} ' if other else ''}{upload_id!r}"
    return "" if state == "complete" else f"the upload {upload_id!r} is not complete"


def get_upload(db: Database, upload_id: str, *, tenant: str) -> Upload:
    """One upload. Raises NotFound."""
    with db.read() as connection:
        row = connection.execute(select(table).where(table.c.id == upload_id, table.c.tenant == tenant)).one_or_none()
    if row is None:
        raise NotFound(f"no upload {upload_id!r}")
    return _upload(row)


def list_uploads(
    db: Database,
    *,
    tenant: str,
    state: str | None = None,
    sha256: str | None = None,
    page_size: int = DEFAULT_PAGE,
    page_token: str | None = None,
) -> Page[Upload]:
    """Uploads, newest first, of one state or hex digest where given. Raises InvalidRequest for a bad token."""
    with db.read() as connection:
        query = select(table).where(table.c.tenant == tenant)
        if state is not None:
            query = query.where(table.c.state == state)
        if sha256 is not None:
            query = query.where(table.c.sha256 == sha256.lower())
        return page(connection, query, table, _upload, page_size=page_size, page_token=page_token)


def start_upload(db: Database, objects: ObjectStore, upload_id: str, *, tenant: str) -> ObjectWriter:
    """A writer for an upload's bytes, which checks size and SHA-256 at `finish`; then call `complete_upload`.

    Raises NotFound, NotReady when the upload is complete already, StorageFull.
    """
    upload = get_upload(db, upload_id, tenant=tenant)
    if upload.state == "complete":
        raise NotReady("the upload is complete and cannot change any more")
    return objects.start(object_key(upload_id), size=upload.bytes, sha256=upload.sha256)


def complete_upload(db: Database, upload_id: str, stored: ObjectInfo, *, tenant: str) -> Upload:
    """Tie the stored object to the upload, in place of its parts. A second completion changes nothing: the first object
    stays. Objects that nothing refers to any more are the caller's to delete, or the sweeper's. Raises NotFound,
    QuotaExceeded when other uploads have used up the tenant's bytes since this one was declared.
    """
    with db.write() as connection:
        lock_tenant(connection, tenant)
        row = connection.execute(
            update(table)
            .where(table.c.id == upload_id, table.c.tenant == tenant, table.c.state == "pending")
            .values(state="complete", completed_at=database_now(), expires_at=None, multipart=None)
            .returning(table.c.filename)
        ).one_or_none()
        if row is not None:
            # Parts count as stored already, and bytes that went straight to the object store since the first link.
            counted = sum(file.bytes for file in files_of(connection, upload_id, tenant=tenant))
            if stored.bytes > counted:
                refuse_over_quota(db, connection, stored.bytes - counted, tenant=tenant)
            remove_files(connection, upload_id)
            add_files(connection, tenant, [_content(upload_id, stored)])
    return get_upload(db, upload_id, tenant=tenant)


def delete_upload(db: Database, objects: ObjectStore, upload_id: str, *, tenant: str) -> None:
    """Forget an upload and its bytes; label sets made from it stay. Raises NotFound, InUse while a job needs it."""
    with db.write() as connection:
        lock_tenant(connection, tenant)
        refuse_in_use(connection, tenant, upload_id)
        mine = delete(table).where(table.c.id == upload_id, table.c.tenant == tenant)
        gone = connection.execute(mine.returning(table.c.multipart)).one_or_none()
        if gone is None:
            raise NotFound(f"no upload {upload_id!r}")
        keys = remove_files(connection, upload_id)
    forget_objects(objects, keys, gone.multipart)


def forget_objects(objects: ObjectStore, keys: list[str], multipart: str | None) -> None:
    """Delete what an upload that is gone has left: its objects, and parts that were sent straight to the store."""
    for key in keys:
        if multipart and objects.direct is not None:
            objects.direct.abort(key, multipart)
        objects.delete(key)


def upload_limit(db: Database, *, tenant: str) -> int:
    """Bytes that one upload of the tenant may have."""
    with db.read() as connection:
        return limits_of(connection, db.settings.limits, tenant)["upload_bytes"]


def _check(limit: int, filename: str, size: int, sha256: str) -> None:
    problems = []
    if not filename or len(filename) > 255 or "\0" in filename:
        problems.append(Problem("a file name of 1 to 255 characters is needed", "/filename"))
    if not 1 <= size <= limit:
        problems.append(Problem(f"the size must be between 1 and {limit} bytes", "/size"))
    if len(sha256) != 64 or not set(sha256.lower()) <= set("0123456789abcdef"):
        problems.append(Problem("64 hexadecimal digits are needed", "/sha256"))
    if problems:
        raise InvalidRequest("the upload cannot be declared like this", problems)


def _upload(row: Any) -> Upload:
    return Upload(
        id=row.id,
        filename=row.filename,
        bytes=row.bytes,
        sha256=row.sha256,
        state=row.state,
        created_at=cast(datetime, to_datetime(row.created_at)),
        completed_at=to_datetime(row.completed_at),
        expires_at=to_datetime(row.expires_at),
        part_bytes=row.part_bytes,
        multipart=row.multipart,
    )
