"""Checks of every request before its route runs: text that can be stored, and query parameters that exist.

One dependency of the whole application does it, so that no route can forget it. PostgreSQL stores no NUL, and text with
a lone surrogate cannot be written as UTF-8: neither is accepted in any string, at any depth.
"""

import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params, get_validation_alias, solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute

from store.requests.base import did_you_mean

#: Characters that no string of a request may hold.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Location = tuple[Any, ...]


async def check_request(request: Request) -> None:
    """Raise RequestValidationError for unstorable text and for unknown query parameters, with all that the route itself
    has against the request.
    """
    route: APIRoute = request.scope["route"]
    body = await _body_of(request, route)
    found = [*_text_problems(request, body), *_unknown_parameters(request, route)]
    if not found:
        return
    async with AsyncExitStack() as stack:
        solved = await solve_dependencies(
            request=request, dependant=route.dependant, body=body, async_exit_stack=stack, embed_body_fields=False
        )
    # Pydantic's own words for a lone surrogate, which is among `found`.
    more = [one for one in solved.errors if one["type"] != "string_unicode"]
    raise RequestValidationError([*found, *more], body=body)


def text_problems(document: Any, location: Location = ("body",)) -> Iterator[dict[str, Any]]:
    """Yield a problem for each string, key or value, of a JSON document that holds an unstorable character."""
    waiting: list[tuple[Location, Any]] = [(location, document)]  # a document may be nested deeper than calls may be
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str) and (bad := UNSTORABLE.search(value)):
            kind = "a NUL character" if bad[0] == "\0" else "half of a surrogate pair"
            detail = f"expected text, found {kind} (U+{ord(bad[0]):04X}) at character {bad.start() + 1}; remove it"
            yield {"type": "unstorable_text", "loc": place, "msg": detail, "input": None}
        elif isinstance(value, dict):
            for name, inner in value.items():
                waiting += [((*place, name), inner), ((*place, name), name)]
        elif isinstance(value, list):
            waiting += [((*place, index), inner) for index, inner in enumerate(value)]


async def _body_of(request: Request, route: APIRoute) -> Any:
    """The JSON body, which the framework has decoded and keeps; None where the route or the request has none."""
    return await request.json() if route.body_field is not None and await request.body() else None


def _text_problems(request: Request, body: Any) -> Iterator[dict[str, Any]]:
    for name, value in request.path_params.items():
        yield from text_problems(value, ("path", name))
    for name, value in request.query_params.multi_items():
        yield from text_problems(name, ("query", name))
        yield from text_problems(value, ("query", name))
    for name, value in request.headers.items():
        yield from text_problems(value, ("header", name))
    yield from text_problems(body)


def _unknown_parameters(request: Request, route: APIRoute) -> Iterator[dict[str, Any]]:
    if not request.query_params:
        return
    fields = get_flat_params(route.dependant)
    known = [get_validation_alias(field) for field in fields if isinstance(field.field_info, Query)]
    for name in request.query_params:
        if name not in known:
            detail = f"no such query parameter; {did_you_mean(name, known)}"
            yield {"type": "unknown_parameter", "loc": ("query", name), "msg": detail, "input": None}
