"""The OpenAPI document: complete and honest about every status a route can answer."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import compile_path

from api.protocol.problems import DESCRIPTIONS, MEDIA_TYPE, ProblemDocument
from api.reference.links import add_links
from api.schemas.uploads import UploadRequest

#: What is answered before a route runs: requests that are not HTTP, unknown query parameters, heads that are too large.
BEFORE_ANY_ROUTE = (400, 422, 431)
PROBLEM_REF = {"$ref": "#/components/schemas/ProblemDocument"}


def describe(app: FastAPI, keys_required: bool) -> None:
    """Make ``app.openapi()`` speak of problem documents wherever the framework would claim its own error shape."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
            if keys_required:
                app.openapi_schema |= {"security": [{"ApiKey": []}]}
                app.openapi_schema["components"]["securitySchemes"] = {"ApiKey": {"type": "http", "scheme": "bearer"}}
                for path in ("/healthz", "/readyz"):
                    app.openapi_schema["paths"][path]["get"]["security"] = []
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def methods_at(app: FastAPI, path: str) -> set[str]:
    """Return every method that is answered at this path, as the document has it; empty for what it leaves out.

    Of several templates that match, the one with the fewest parameters counts: `/v1/generators/trainings` is not the
    generator of that name.
    """
    matching = {
        template: operations
        for template, operations in app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
    }
    if not matching:
        return set()
    return with_head({method.upper() for method in matching[min(matching, key=lambda one: one.count("{"))]})


def with_head(methods: set[str]) -> set[str]:
    """The methods, and HEAD where GET is among them."""
    return methods | ({"HEAD"} if "GET" in methods else set())


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application."""
    described = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    # Answers of errors, and the body of a route that takes two kinds: what the framework does not see by itself.
    for model in (ProblemDocument, UploadRequest):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in described["paths"].values():
        for operation in path.values():
            answers = operation["responses"] | {
                str(status): {"description": DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": PROBLEM_REF}}}
                for status in BEFORE_ANY_ROUTE
            }
            operation["responses"] = dict(sorted(answers.items()))
    _say_the_kind(described["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"])
    add_links(described["paths"])
    return described


def _say_the_kind(request: dict[str, Any]) -> None:
    """Of the kinds of job, one need not be named; without this, a body without `kind` would seem to be any of them."""
    request["oneOf"] = [
        one if one["$ref"].endswith("/GenerateSpec") else {"allOf": [one, {"required": ["kind"]}]}
        for one in request["oneOf"]
    ]
