"""Parts of uploads that callers send straight to the object store: links for them, what has come, the joined object.

The sizes of the parts follow from the declared size, so no caller can send more than declared. From the first link on
the declared bytes count as stored, by the row of a file that holds the object's key until the upload is complete.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, update

from store.database.clock import database_now
from store.database.database import Database
from store.errors import DigestMismatch, InvalidRequest, NotFound, NotReady, Problem, StoreError, TooLarge
from store.objects import DirectParts, ObjectInfo, ObjectStore, PartLink, SentPart
from store.objects.contract import DeclaredDigest
from store.objects.verified import READS
from store.resources.files import File, add_files, list_files, remove_files
from store.tables import files
from store.tables import uploads as table
from store.tenancy.tenants import lock_tenant
from store.uploads.files import PENDING_SECONDS, Upload, get_upload, object_key, refuse_over_quota

#: Name of the file that stands for the parts until they are joined.
DIRECT = "direct"
#: Problems that one refusal names at most: a file may have thousands of parts.
_NAMED = 100


@dataclass(frozen=True, slots=True)
class Link:
    """Where to send part `number`, which has `bytes`."""

    number: int
    bytes: int
    link: PartLink


def part_links(
    db: Database,
    objects: ObjectStore,
    upload_id: str,
    wanted: list[tuple[int, str]],
    *,
    seconds: int,
    tenant: str,
) -> list[Link]:
    """Links for the parts `wanted` (number, hex MD5), good for `seconds`. The upload's expiry is extended.

    Raises NotFound, NotReady where the upload is complete already or the service takes its parts, InvalidRequest for
    numbers that the file does not have, QuotaExceeded.
    """
    upload = get_upload(db, upload_id, tenant=tenant)
    sizes = part_sizes(upload)
    if upload.state == "complete":
        raise NotReady("the upload is complete and cannot change any more")
    direct = objects.direct
    if direct is None or not sizes:
        raise NotReady("the service takes the parts of this upload itself: PUT them to it")
    problems = [
        Problem(
            f"the file has parts 1 to {len(sizes)}, of {sizes[0]} bytes each but the last", f"/parts/{place}/number"
        )
        for place, (number, _) in enumerate(wanted)
        if not 1 <= number <= len(sizes)
    ]
    if problems:
        raise InvalidRequest("the file does not have these parts", problems)
    key, multipart = _begun(db, direct, upload, tenant)
    return [
        Link(number, size, direct.link(key, multipart, number, size=size, md5=md5.lower(), seconds=seconds))
        for number, md5 in wanted
        for size in (sizes[number - 1],)
    ]


def part_sizes(upload: Upload) -> list[int]:
    """Bytes of each part that goes straight to the object store; none where the service takes them."""
    if not upload.part_bytes:
        return []
    whole, rest = divmod(upload.bytes, upload.part_bytes)
    return [upload.part_bytes] * whole + ([rest] if rest else [])


def sent_parts(db: Database, objects: ObjectStore, upload: Upload, *, tenant: str) -> list[SentPart]:
    """The parts that are there, by number."""
    if upload.multipart is None or objects.direct is None:
        return []
    key = _key(db, upload.id, tenant)
    try:
        return objects.direct.sent(key, upload.multipart)
    except NotFound:
        # Joined, and the process ended before it could say so; or removed by a rule of the bucket.
        joined = _is_joined(objects, key, upload)
        return [SentPart(n, size, "", "") for n, size in enumerate(part_sizes(upload), start=1)] if joined else []


def join_sent(db: Database, objects: ObjectStore, upload: Upload, *, tenant: str) -> ObjectInfo:
    """The object of all parts, read through and compared with the declared digest; then call `complete_upload`.

    Raises InvalidRequest naming every part that is missing or of another size, and those stay that are there;
    DigestMismatch, and then all have to be sent again; NotReady where parts changed meanwhile.
    """
    direct = objects.direct
    if upload.multipart is None or direct is None:
        raise NotReady("no part of this upload was sent to the storage")
    key = _key(db, upload.id, tenant)
    try:
        found = direct.sent(key, upload.multipart)
        _refuse_gaps(upload, found)
        direct.join(key, upload.multipart, found)
    except NotFound as error:
        if not _is_joined(objects, key, upload):
            start_over(db, objects, upload, tenant=tenant)
            raise NotReady("the storage has forgotten the parts of this upload: send them again") from error
    try:
        sha256 = _read_through(objects, key, upload)
    except DigestMismatch as error:
        start_over(db, objects, upload, tenant=tenant)
        raise DigestMismatch(f"{error.detail}; send all parts again") from error
    return ObjectInfo(key, upload.bytes, sha256, objects.stat(key).modified_at)


def _read_through(objects: ObjectStore, key: str, upload: Upload) -> str:
    """SHA-256 in hex of the joined object. Bytes that differ are read again: the fault may lie on the way. Raises
    DigestMismatch.
    """
    for left in reversed(range(READS)):
        declared = DeclaredDigest(upload.bytes, upload.sha256)
        try:
            for chunk in objects.read(key, chunk=1 << 20):
                declared.add(chunk)
            return declared.check()
        except (DigestMismatch, TooLarge):
            if not left:
                raise
    raise AssertionError("the last read returns or raises")


def start_over(db: Database, objects: ObjectStore, upload: Upload, *, tenant: str) -> None:
    """Forget what was sent straight to the store; the upload waits as on its first day."""
    with db.write() as connection:
        mine = update(table).where(
            table.c.id == upload.id,
            table.c.tenant == tenant,
            table.c.state == "pending",
            table.c.multipart == upload.multipart,
        )
        reset = connection.execute(mine.values(multipart=None).returning(table.c.id)).one_or_none()
        keys = remove_files(connection, upload.id) if reset is not None else []
    for key in keys:
        if objects.direct is not None and upload.multipart is not None:
            objects.direct.abort(key, upload.multipart)
        objects.delete(key)


def unfinished_keys(db: Database) -> set[str]:
    """Keys of all objects whose parts are on their way: no sweeper may touch them."""
    waiting = select(files.c.key).join(table, table.c.id == files.c.resource_id)
    with db.read() as connection:
        return set(connection.execute(waiting.where(table.c.multipart.is_not(None), files.c.name == DIRECT)).scalars())


def _begun(db: Database, direct: DirectParts, upload: Upload, tenant: str) -> tuple[str, str]:
    """Key and multipart of an upload, begun where it is not yet; its expiry is extended."""
    key, multipart = object_key(upload.id), upload.multipart
    if multipart is None:
        multipart = direct.begin(key)
        try:
            if _claim(db, upload, key, multipart, tenant):
                return key, multipart
        except StoreError:
            direct.abort(key, multipart)
            raise
        # Another request began at the same time, and was first; or the upload is over.
        direct.abort(key, multipart)
        upload = get_upload(db, upload.id, tenant=tenant)
        if upload.multipart is None:
            raise NotReady("the upload is complete, or the service takes its parts")
        multipart = upload.multipart
    with db.write() as connection:
        mine = update(table).where(table.c.id == upload.id, table.c.state == "pending")
        connection.execute(mine.values(expires_at=database_now() + PENDING_SECONDS))
    return _key(db, upload.id, tenant), multipart


def _claim(db: Database, upload: Upload, key: str, multipart: str, tenant: str) -> bool:
    """Record the assembled object on its upload, unless it has one."""
    with db.write() as connection:
        lock_tenant(connection, tenant)
        mine = update(table).where(table.c.id == upload.id, table.c.tenant == tenant, table.c.state == "pending")
        first = mine.where(table.c.multipart.is_(None), table.c.part_bytes.is_not(None)).returning(table.c.id)
        values = {"multipart": multipart, "expires_at": database_now() + PENDING_SECONDS}
        if connection.execute(first.values(values)).one_or_none() is None:
            return False
        refuse_over_quota(db, connection, upload.bytes, tenant=tenant)
        file = File(upload.id, DIRECT, key, upload.bytes, upload.sha256, "application/octet-stream")
        add_files(connection, tenant, [file])
    return True


def _key(db: Database, upload_id: str, tenant: str) -> str:
    found = list_files(db, upload_id, tenant=tenant, prefix=DIRECT)
    if not found:
        raise NotReady("the upload has just been completed, deleted or restarted; read it again")
    return found[0].key


def _is_joined(objects: ObjectStore, key: str, upload: Upload) -> bool:
    try:
        return objects.stat(key).bytes == upload.bytes
    except NotFound:
        return False


def _refuse_gaps(upload: Upload, found: list[SentPart]) -> None:
    there = {part.number: part.bytes for part in found}
    problems = []
    for number, size in enumerate(part_sizes(upload), start=1):
        if number not in there:
            problems.append(Problem(f"part {number} has not been sent", "/parts"))
        elif there[number] != size:
            detail = f"part {number} has {there[number]} bytes and should have {size}: send it again"
            problems.append(Problem(detail, "/parts"))
    if len(problems) > _NAMED:
        problems[_NAMED:] = [Problem(f"and {len(problems) - _NAMED} more", "/parts")]
    if problems:
        raise InvalidRequest("the upload cannot be completed like this", problems)
