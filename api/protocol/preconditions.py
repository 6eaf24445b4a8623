"""Conditions on what is there (RFC 9110): read it only if it has changed, change it only if it has not."""

from hashlib import sha256
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel
from starlette.responses import Response

from api.protocol.errors import ApiError
from api.protocol.ranges import matches

IfNoneMatch = Annotated[str | None, Header(description="The `ETag` of an earlier answer.")]
IfMatch = Annotated[str | None, Header(description="Its `ETag`: only if it is as it was; `*`: only if it is there.")]
IfAbsent = Annotated[str | None, Header(alias="If-None-Match", description="`*`: only if it is not there.")]

UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since `If-None-Match`."}}


def etag_of(document: BaseModel) -> str:
    """A tag that changes with anything the document says."""
    return _tag(document.model_dump_json())


def _tag(written: str) -> str:
    return f'"{sha256(written.encode()).hexdigest()[:32]}"'


def unless_unchanged(document: BaseModel, if_none_match: str | None, headers: dict[str, str] | None = None) -> Response:
    """The document with its tag; 304 where the caller has it already."""
    written = document.model_dump_json()
    headers = {"ETag": _tag(written), "Cache-Control": "no-cache"} | (headers or {})
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(written, media_type="application/json", headers=headers)


def demand_unchanged(current: BaseModel | None, if_match: str | None, if_none_match: str | None = None) -> None:
    """Raise 412 unless what is there is what the caller believes to be there. ``current``: None where nothing is."""
    tag = None if current is None else etag_of(current)
    if if_match is not None and (tag is None or not matches(if_match, tag)):
        found = "there is none" if tag is None else f"the ETag is {tag}"
        raise ApiError("precondition_failed", f"If-Match expects {if_match}; {found}. Read it again.")
    if tag is not None and matches(if_none_match, tag):
        raise ApiError("precondition_failed", f"If-None-Match expects other than {if_none_match}; the ETag is {tag}.")
