"""Large uploads in numbered parts, in any order and by several senders, joined into one object when all are there.

A part is a file `parts/00001` of its upload: it counts as stored bytes, can be sent again, and goes with the upload.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from sqlalchemy import delete, update

from store.database.clock import database_now
from store.database.database import Database
from store.errors import DamagedObject, DigestMismatch, InvalidRequest, NotFound, NotReady, Problem
from store.objects import ObjectInfo, ObjectStore, ObjectWriter, verified
from store.resources.files import File, add_files, list_files, remove_files
from store.tables import files
from store.tables import uploads as table
from store.tenancy.tenants import lock_tenant
from store.uploads.files import (
    PARTS,
    PENDING_SECONDS,
    forget_objects,
    get_upload,
    object_key,
    refuse_over_quota,
    start_upload,
)

#: Numbers go from 1 to this.
MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Part:
    """One part that is there; `sha256` in hex."""

    number: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Joined:
    """The whole object, and the keys of the parts it was made of, not needed once the upload is complete."""

    info: ObjectInfo
    parts: list[str]


def start_part(db: Database, objects: ObjectStore, upload_id: str, sha256: str, *, tenant: str) -> ObjectWriter:
    """A writer for one part, which checks its SHA-256 at `finish`; then call `add_part`.

    Raises NotFound, NotReady when the upload is complete already or its parts go elsewhere, StorageFull.
    """
    _refuse_parts(db, upload_id, tenant)
    return objects.start(object_key(upload_id), sha256=sha256)


def _refuse_parts(db: Database, upload_id: str, tenant: str) -> None:
    upload = get_upload(db, upload_id, tenant=tenant)
    if upload.state == "complete":
        raise NotReady("the upload is complete and cannot change any more")
    if upload.multipart is not None:
        raise NotReady("parts of this upload went straight to the storage: ask for links to send the others there")


def add_part(
    db: Database, objects: ObjectStore, upload_id: str, number: int, stored: ObjectInfo, *, tenant: str
) -> Part:
    """Tie a stored object to its upload as part `number`, in place of an earlier one. The upload's expiry is extended.

    Raises NotFound, NotReady when the upload is complete already or its parts go elsewhere, QuotaExceeded.
    """
    name = f"{PARTS}{number:05d}"
    with db.write() as connection:
        lock_tenant(connection, tenant)
        # Changing the row first locks it: completion and two senders of one part take turns.
        pending = connection.execute(
            update(table)
            .where(table.c.id == upload_id, table.c.tenant == tenant, table.c.state == "pending")
            .where(table.c.multipart.is_(None))
            .values(expires_at=database_now() + PENDING_SECONDS, part_bytes=None)
            .returning(table.c.id)
        ).one_or_none()
        if pending is not None:
            replaced = connection.execute(
                delete(files).where(files.c.resource_id == upload_id, files.c.name == name).returning(files.c.key)
            ).scalar_one_or_none()
            refuse_over_quota(db, connection, stored.bytes, tenant=tenant)
            part = File(upload_id, name, stored.key, stored.bytes, stored.sha256, "application/octet-stream")
            add_files(connection, tenant, [part])
    if pending is None:
        _refuse_parts(db, upload_id, tenant)
        raise NotFound(f"no upload {upload_id!r}")
    if replaced is not None:
        objects.delete(replaced)
    return Part(number, stored.bytes, stored.sha256)


def list_parts(db: Database, upload_id: str, *, tenant: str) -> list[Part]:
    """The parts that are there, by number; none of a complete upload. Raises NotFound."""
    get_upload(db, upload_id, tenant=tenant)
    return list(_held(db, upload_id, tenant))


def join_parts(
    db: Database, objects: ObjectStore, upload_id: str, wanted: list[tuple[int, str]], *, tenant: str
) -> Joined:
    """Write the parts `wanted` (number, hex SHA-256), in this order, as one object of the declared size and digest.

    Then call `complete_upload`; whatever goes wrong, the parts stay. Raises NotFound, NotReady when the upload is
    complete already or a part changes meanwhile, InvalidRequest naming every part that is not there, DigestMismatch,
    StorageFull.
    """
    for left in reversed(range(verified.READS)):
        try:
            return _joined(db, objects, upload_id, wanted, tenant)
        except DamagedObject as error:
            if error.lost:
                detail = "a part was replaced while the upload was being completed; complete it again"
                raise NotReady(detail) from error
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _joined(db: Database, objects: ObjectStore, upload_id: str, wanted: list[tuple[int, str]], tenant: str) -> Joined:
    writer = start_upload(db, objects, upload_id, tenant=tenant)
    try:
        declared = get_upload(db, upload_id, tenant=tenant).bytes
        held = _held(db, upload_id, tenant)
        found = _chosen({part.number: part for part in held}, wanted)
        if (size := sum(part.bytes for part in found)) != declared:
            raise DigestMismatch(f"the parts have {size} bytes together, {declared} were declared")
        for part in found:
            for chunk in verified.stream(objects, held[part]):
                writer.write(chunk)
        return Joined(writer.finish(), [file.key for file in held.values()])
    finally:
        writer.abort()


def _held(db: Database, upload_id: str, tenant: str) -> dict[Part, File]:
    """Each part with the file that holds it, by number."""
    kept = list_files(db, upload_id, tenant=tenant, prefix=PARTS)
    return {Part(int(file.name.removeprefix(PARTS)), file.bytes, file.sha256): file for file in kept}


def _chosen(held: dict[int, Part], wanted: list[tuple[int, str]]) -> list[Part]:
    problems = []
    if wanted and wanted[0][0] != 1:
        problems.append(Problem("the first part is number 1", "/parts/0/number"))
    for place, (number, sha256) in enumerate(wanted):
        if number not in held:
            problems.append(Problem(f"part {number} has not been sent", f"/parts/{place}/number"))
        elif held[number].sha256 != sha256.lower():
            detail = f"part {number} has SHA-256 {held[number].sha256}"
            problems.append(Problem(detail, f"/parts/{place}/sha256"))
    for place, ((before, _), (after, _)) in enumerate(itertools.pairwise(wanted), start=1):
        if after <= before:
            problems.append(Problem("the numbers must rise from part to part", f"/parts/{place}/number"))
    if problems:
        raise InvalidRequest("the upload cannot be completed like this", problems)
    return [held[number] for number, _ in wanted]


def forget_abandoned(db: Database, objects: ObjectStore) -> int:
    """Remove abandoned uploads with their parts; return the number of objects removed."""
    with db.write() as connection:
        late = delete(table).where(table.c.state == "pending", table.c.expires_at < database_now())
        gone = connection.execute(late.returning(table.c.id, table.c.multipart)).all()
        left = [(remove_files(connection, row.id), row.multipart) for row in gone]
    for keys, multipart in left:
        forget_objects(objects, keys, multipart)
    return sum(len(keys) for keys, _ in left)
