"""Stored files as answers."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.problems import documented
from api.ranges import content_response
from store.files import File
from store.objects import ObjectStore

#: Reports hold their style and pictures themselves. They run nothing, and are nobody's origin.
OWN_STYLE = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
}


def file_response(
    request: Request, objects: ObjectStore, file: File, *, attachment: bool = True, filename: str | None = None
) -> Response:
    """A stored file: a redirect where the storage serves it itself, else its bytes with ranges and digest.

    ``filename``: what it is called by those who save it (default: its own name).
    """
    name = filename or file.name.rpartition("/")[2]
    if url := objects.presign(file.key, filename=name):
        return RedirectResponse(url, 302)
    objects.stat(file.key)  # a missing object is a 404, not a broken stream
    return content_response(
        request,
        lambda start, stop: objects.read(file.key, start=start, stop=stop),
        size=file.bytes,
        etag=f'"{file.sha256}"',
        media_type=file.media_type,
        filename=name if attachment else None,
        headers={"X-Content-SHA256": file.sha256} | (OWN_STYLE if file.media_type.startswith("text/html") else {}),
    )


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
        302: {"description": "Where the storage serves the bytes itself, for a few minutes."},
        304: {"description": "Unchanged."},
    }


def download(
    router: APIRouter, path: str, media_type: str | tuple[str, ...], description: str
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Register a route that answers GET and HEAD with bytes; the document lists it once."""
    media_types = (media_type,) if isinstance(media_type, str) else media_type
    responses = binary(media_types, description) | documented(404, 409, 410, 416, 422)

    def register(route: Callable[..., Response]) -> Callable[..., Response]:
        router.head(path, include_in_schema=False, response_class=Response)(route)
        return router.get(path, response_class=Response, responses=responses)(route)

    return register
