"""Requests of `POST /v1/jobs`: of any kind, also as YAML from a repository, with all its problems at once."""

import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, Union

import yaml
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import Discriminator, Tag
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import Message

from api.backend import backend_of
from api.protocol.errors import ApiError
from api.protocol.problems import ProblemItem
from api.protocol.request_bodies import YAML_TYPES, media_type_of, small_body
from store.database.database import Database
from store.job_kinds import KINDS
from store.job_kinds.checks import reference_problems
from store.jobs.kinds import Submitting
from store.requests.base import JobSpec

DEFAULT_KIND = "generate"


def _kind_of(request: Any) -> str:
    kind = request.get("kind", DEFAULT_KIND) if isinstance(request, dict) else getattr(request, "kind", DEFAULT_KIND)
    return str(kind)


if TYPE_CHECKING:
    JobRequest = JobSpec
else:
    #: The request of any kind; the `kind` of a body decides which.
    JobRequest = Annotated[
        Union[tuple(Annotated[kind.request, Tag(kind.name)] for kind in KINDS.values())],  # noqa: UP007
        Discriminator(_kind_of),
    ]

#: The YAML reader is slow; a spec that a person wrote is far below this.
YAML_BYTES = 1 << 16
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JobRoute(APIRoute):
    """A route whose 422 names what the schema refuses and what does not exist, together."""

    def get_route_handler(self) -> Handler:
        """Return the handler that reads the body before the route's own."""
        handle = super().get_route_handler()

        async def handle_request(request: Request) -> Response:
            if media_type_of(request) in YAML_TYPES:
                request = await _as_json(request)
            try:
                return await handle(request)
            except RequestValidationError as error:
                if not isinstance(error.body, dict):
                    raise
                database = await backend_of(request).opened_database()
                tenant = request.state.caller.tenant
                found = [_without_kind(one) for one in error.errors()]
                more = await run_in_threadpool(_references, database, tenant, error.body, found)
                raise RequestValidationError([*found, *more], body=error.body) from error

        return handle_request


def _without_kind(found: dict[str, Any]) -> dict[str, Any]:
    """A problem where the caller wrote it: the reader of all kinds puts the kind in front."""
    where, *rest = found["loc"]
    if found["type"] == "union_tag_invalid":
        detail = f"there is no such kind; there are {', '.join(KINDS)}"
        return found | {"loc": (where, "kind"), "msg": detail}
    return found | {"loc": (where, *(rest[1:] if rest and rest[0] in KINDS else rest))}


def _references(database: Database, tenant: str, body: dict[str, Any], errors: Any) -> list[dict[str, Any]]:
    """Problems of those fields that the schema has nothing against."""
    refused = {found["loc"][1] for found in errors if len(found["loc"]) > 1 and found["loc"][0] == "body"}
    readable = {name: value for name, value in body.items() if name not in refused}
    labels, generator, count = (readable.get(name) for name in ("labels", "generator", "count"))
    with database.read() as connection:
        problems = reference_problems(
            Submitting(connection, database, tenant),
            labels=labels if isinstance(labels, str) else None,
            generator=generator if isinstance(generator, str) else None,
            count=count if isinstance(count, int) else None,
        )
    return [{"type": "reference", "loc": ("body", p.pointer.strip("/")), "msg": p.detail} for p in problems]


class _NoAliases(yaml.SafeLoader):
    """Anchors and aliases make a small file a large document; a spec needs none."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not accepted")
        return super().compose_node(parent, index)


async def _as_json(request: Request) -> Request:
    text = await small_body(request, YAML_BYTES)
    try:
        document = yaml.load(text, _NoAliases)  # noqa: S506 - a SafeLoader that also refuses aliases
        body = json.dumps(document, default=str).encode()
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as error:
        detail = f"The body is not valid YAML: {error}"[:500]
        raise ApiError("malformed_body", detail, [ProblemItem(detail=detail, pointer="#")]) from error

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {**request.scope, "headers": list(request.scope["headers"])}
    headers = MutableHeaders(scope=scope)
    headers["content-type"] = "application/json"
    headers["content-length"] = str(len(body))
    return Request(scope, receive)
