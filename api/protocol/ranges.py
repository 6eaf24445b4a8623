"""Downloads a client can resume: `Range`, `If-Range`, `ETag` and `If-None-Match` over any bytes (RFC 9110)."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.protocol.errors import ApiError
from api.protocol.head_requests import head_only

ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII)

Read = Callable[[int, int], Iterator[bytes]]
"""``read(start, stop)``: the bytes from ``start`` up to and without ``stop``, in pieces."""


class Span(NamedTuple):
    """Bytes ``start`` up to and without ``stop``."""

    start: int
    stop: int


def requested_span(header: str | None, size: int) -> Span | None:
    """The one range asked for, or None for the whole: no header, an unreadable one, another unit, or several ranges.

    A server may ignore a Range header it does not like, and then the whole content is the answer; only a readable range
    that lies outside is an error (416).
    """
    match = ONE_RANGE.fullmatch(header or "")
    if match is None or match.group(0).strip() in ("bytes=-",):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:  # the last so many bytes
        wanted = int(last)
        start, stop = max(0, size - wanted), size
    else:
        start = int(first)
        stop = min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= stop:
        raise ApiError(
            "range_not_satisfiable", f"The content has {size} bytes.", headers={"Content-Range": f"bytes */{size}"}
        )
    return Span(start, stop)


def matches(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names this tag (weak comparison)."""
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


def content_response(
    request: Request,
    read: Read,
    *,
    size: int,
    etag: str,
    media_type: str,
    filename: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The whole, a part (206), or 304. ``etag`` comes with its quotes and must be strong."""
    common = {"ETag": etag, "Accept-Ranges": "bytes", **(headers or {})}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=common)
    if filename:
        common["Content-Disposition"] = f'attachment; filename="{filename}"'
    if_range = request.headers.get("if-range")
    span = None
    if if_range is None or if_range.strip() == etag:
        span = requested_span(request.headers.get("range"), size)
    start, stop = span or (0, size)
    common["Content-Length"] = str(stop - start)
    if span:
        common["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 206 if span else 200
    if head_only(request):
        return Response(status_code=status, headers=common, media_type=media_type)
    return StreamingResponse(read(start, stop), status, headers=common, media_type=media_type)
