"""One POST, one effect, over HTTP: the `Idempotency-Key` header, and the first answer again for a key that repeats."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

from fastapi import Header, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from store.database.database import Database
from store.database.idempotency import IdempotencyKey, remember_answer

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Idempotency key. A retry with the same key returns the original response.",
    ),
]


class Made(Protocol):
    """Result of a store's function that makes something: whether its key had made it before, and what was
    answered then.
    """

    @property
    def replayed(self) -> bool:
        """Return whether the key had made it before."""
        ...

    @property
    def answer(self) -> dict[str, Any] | None:
        """Return the first answer, where it was remembered."""
        ...


def key_of(header: str | None, request: Request, body: BaseModel) -> IdempotencyKey | None:
    """The key of this request, where it came with one."""
    if header is None:
        return None
    return IdempotencyKey.of(header, request.method, request.url.path, body.model_dump_json().encode())


def creation_headers(location: str, replayed: bool) -> dict[str, str]:
    """Where it stands, and whether an earlier request with the same key had made it."""
    return {"Location": location} | ({"Idempotent-Replayed": "true"} if replayed else {})


def answer_once(
    db: Database,
    tenant: str,
    key: IdempotencyKey | None,
    made: Made,
    status: int,
    document: Callable[[], BaseModel],
    headers: Mapping[str, str],
) -> Response:
    """``document`` with ``status``, remembered under ``key``; or what was remembered, however things stand by now."""
    if made.replayed and made.answer:
        return JSONResponse(made.answer["body"], made.answer["status"], headers=headers)
    written = document().model_dump_json()
    if key:
        remember_answer(db, tenant, key, {"status": status, "body": json.loads(written)})
    return Response(written, status, headers=headers, media_type="application/json")


def created(what: str, model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that makes something at once."""
    return {201: {"description": f"{what} that was made.", "model": model, "headers": location_documented(what)}}


def location_documented(what: str) -> dict[str, Any]:
    """The headers of :func:`creation_headers`, for the document."""
    return {
        "Location": {"schema": {"type": "string"}, "description": f"{what}."},
        "Idempotent-Replayed": {"schema": {"type": "string"}, "description": "`true`: this key made it before."},
    }
