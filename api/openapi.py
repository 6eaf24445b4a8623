"""The OpenAPI document: complete and honest about every status a route can answer."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import compile_path

from api.links import add_links
from api.problems import MEDIA_TYPE, ProblemDocument
from api.schemas.uploads import UploadRequest

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
    """Every method that is answered at this path, as the document has it; empty for what it leaves out."""
    found: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        pattern, _, _ = compile_path(template)
        if pattern.match(path):
            for method, operation in operations.items():
                found.add(method.upper())
                if "206" in operation["responses"]:
                    found.add("HEAD")
    return found


def document(app: FastAPI) -> dict[str, Any]:
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
            answers = operation["responses"]
            if "422" in answers and MEDIA_TYPE not in answers["422"].get("content", {}):
                answers["422"] = {
                    "description": "The request is understood and wrong; `errors` names every problem.",
                    "content": {MEDIA_TYPE: {"schema": PROBLEM_REF}},
                }
    _say_the_kind(described["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"])
    add_links(described["paths"])
    return described


def _say_the_kind(request: dict[str, Any]) -> None:
    """Of the kinds of job, one need not be named; without this, a body without `kind` would seem to be any of them."""
    request["oneOf"] = [
        one if one["$ref"].endswith("/GenerateSpec") else {"allOf": [one, {"required": ["kind"]}]}
        for one in request["oneOf"]
    ]
