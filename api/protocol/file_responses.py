"""Stored files as answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.backend import backend_of
from api.protocol.problems import documented
from api.protocol.ranges import Read, content_response
from store.database.database import Database
from store.errors import DamagedObject, StoreError
from store.objects import ObjectStore, verified
from store.resources.datasets import clear_damaged, is_marked_damaged, mark_damaged
from store.resources.files import File

log = structlog.get_logger(__name__)

#: Reports are self-contained pages: no scripts, no origin.
OWN_STYLE = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
}

#: Bytes of files that are held in memory and verified before any of them is sent.
VERIFIED_FIRST = 1 << 20


def file_response(
    request: Request, objects: ObjectStore, file: File, *, attachment: bool = True, filename: str | None = None
) -> Response:
    """A stored file: a redirect where the storage serves it itself, else its bytes with ranges and digest. A file of a
    dataset that is marked as damaged is sent, and so verified, from here.

    ``filename``: what it is called by those who save it (default: its own name).
    """
    name = filename or file.name.rpartition("/")[2]
    db = backend_of(request).database
    with noting_damage(db):
        verified.check_there(objects, file)  # a missing object is a 404, not a broken stream
    marked = is_marked_damaged(db, file.resource_id, file.name)
    if not marked and (url := objects.presign(file.key, filename=name)):
        return RedirectResponse(url, 302, {"X-Content-SHA256": file.sha256})
    return content_response(
        request,
        reader_of(db, objects, file),
        size=file.bytes,
        etag=f'"{file.sha256}"',
        media_type=file.media_type,
        filename=name if attachment else None,
        headers={"X-Content-SHA256": file.sha256} | (OWN_STYLE if file.media_type.startswith("text/html") else {}),
    )


def reader_of(db: Database, objects: ObjectStore, file: File) -> Read:
    """Return the reader of a stored file for an answer. A small one is verified before its first byte is sent, also
    where a part of it is asked for. A large one is verified while it is sent whole: its last bytes are held back until
    then, and the connection breaks off where they are wrong. Parts of a large one are for the receiver to verify.

    Reading raises DamagedObject, for a small file before the answer begins. A dataset whose file is damaged is marked;
    the mark is taken back when the file was read whole.
    """

    def read_verified(start: int, stop: int) -> Iterator[bytes]:
        with noting_damage(db):
            content = verified.read(objects, file)
            clear_damaged(db, file.resource_id, file.name)
        return iter((content[start:stop],))

    def read(start: int, stop: int) -> Iterator[bytes]:
        with noting_damage(db):
            yield from verified.part(objects, file, start, stop)
            if (start, stop) == (0, file.bytes):
                clear_damaged(db, file.resource_id, file.name)

    return read_verified if file.bytes <= VERIFIED_FIRST else read


@contextmanager
def noting_damage(db: Database) -> Iterator[None]:
    """Mark the dataset whose file turns out to be damaged or lost, and let the error pass."""
    try:
        yield
    except DamagedObject as error:
        log.error("object.damaged", resource=error.resource_id, file=error.name, key=error.key, lost=error.lost)
        with suppress(StoreError), db.write() as connection:
            mark_damaged(connection, error.resource_id, error.name, error.detail)
        raise


def binary(media_types: tuple[str, ...], description: str) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a download: whole, part, unchanged, elsewhere."""
    file = {"type": "string", "format": "binary"}
    content = {kind: {"schema": {"type": "object"} if kind == "application/json" else file} for kind in media_types}
    headers = {
        "ETag": {"schema": {"type": "string"}, "description": "The SHA-256 in quotes."},
        "X-Content-SHA256": {"schema": {"type": "string"}},
    }
    return {
        200: {"description": description, "content": content, "headers": headers},
        206: {"description": "The part that was asked for.", "content": content, "headers": headers},
        302: {
            "description": "Where the storage serves the bytes itself, for a few minutes.",
            "headers": {"X-Content-SHA256": headers["X-Content-SHA256"]},
        },
        304: {"description": "Unchanged."},
    }


def download(
    router: APIRouter, path: str, media_type: str | tuple[str, ...], description: str
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Register a route that answers with bytes."""
    media_types = (media_type,) if isinstance(media_type, str) else media_type
    responses = binary(media_types, description) | documented(404, 409, 410, 416, 422)

    def register(route: Callable[..., Response]) -> Callable[..., Response]:
        return router.get(path, response_class=Response, responses=responses)(route)

    return register
