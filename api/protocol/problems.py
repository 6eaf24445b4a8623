"""The one shape of every error answer: `application/problem+json` (RFC 9457)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field
from starlette.responses import JSONResponse

from contracts.text import name, printable

MEDIA_TYPE = "application/problem+json"


#: Both may hold text of the caller.
Printable = Annotated[str, BeforeValidator(printable)]
Pointer = Annotated[str, BeforeValidator(name)]


class ProblemItem(BaseModel):
    """One of the things that are wrong with a request."""

    detail: Printable = Field(description="What is wrong, in words.")
    pointer: Pointer = Field(
        description="Where: a JSON pointer (`#/count`), `query:NAME`, `header:NAME`, or a file's name."
    )


class ProblemDocument(BaseModel):
    """An error. Branch on `code`; show `detail` and `errors` to people."""

    type: str = Field(examples=["urn:offhand:problem:invalid_request"])
    title: str = Field(examples=["Invalid request"])
    status: int = Field(examples=[422])
    detail: Printable = Field(examples=["count must be at least 1"])
    instance: Pointer = Field(description="The path that was asked for.", examples=["/v1/jobs"])
    code: str = Field(description="Stable, for programs.", examples=["invalid_request"])
    errors: list[ProblemItem] = Field(default_factory=list, description="All problems at once, not the first.")
    request_id: str | None = Field(default=None, description="Also in the logs; quote it when asking for help.")


class ProblemResponse(JSONResponse):
    """Response with a problem document (RFC 9457)."""

    media_type = MEDIA_TYPE


def problem_response(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    instance: str,
    errors: Iterable[ProblemItem] = (),
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """Return the response for an error."""
    document = ProblemDocument(
        type=f"urn:offhand:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        errors=list(errors),
        request_id=request_id,
    )
    return ProblemResponse(document.model_dump(mode="json", exclude_none=True), status, headers=dict(headers or {}))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that can answer with these error statuses; those of ALWAYS go without saying."""
    return {
        status: {
            "description": DESCRIPTIONS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status in sorted({*statuses, *ALWAYS, *((408,) if 413 in statuses else ())})
    }


#: Statuses that any route can answer.
ALWAYS = (401, 403, 429, 500, 503)
DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "The API key is missing, unknown, revoked or expired.",
    403: "The API key may not do this; or a page of another origin, or a foreign host name on loopback, asks.",
    404: "There is no such thing.",
    405: "The method is not allowed here.",
    408: "The body came too slowly; nothing of it was kept.",
    409: "The request conflicts with the present state.",
    410: "It existed; its time is over.",
    411: "The request must declare its length.",
    412: "It is not as `If-Match` or `If-None-Match` would have it; nothing was changed.",
    413: "The body is over its limit; nothing of it was kept.",
    415: "The media type or the first bytes of the body are not what is accepted here.",
    416: "The range lies outside the content.",
    422: "The request is understood and wrong; `errors` names every problem.",
    431: "The head of the request is over its limit.",
    429: "A limit is reached; try again after `Retry-After` seconds.",
    500: "A fault of the service.",
    501: "The transfer coding is not implemented.",
    503: "The database or the storage is not available; try again after `Retry-After` seconds.",
    507: "The storage is full; nothing was kept.",
}
