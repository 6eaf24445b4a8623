"""`python -m api.reference.markdown > docs/http.md`: the HTTP reference, written from the OpenAPI document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete", "head")

PREFACE = """\
# HTTP

Written by `python -m api.reference.markdown` from the OpenAPI document that a running service gives at
`/openapi.json`; do not edit. Every error is `application/problem+json` (RFC 9457) with `type, title, status, detail,
instance, code, errors[{detail, pointer}]`, all problems at once. Lists take `page_size` and `page_token` and answer
`next_page_token`. HEAD is answered wherever GET is. Unknown query parameters, unknown fields, and text with a NUL
character or half of a surrogate pair are refused with 422. A request that is not valid HTTP/1.1 (bare line feeds,
folded headers, two lengths) is refused with 400, a head of more than 32 KiB with 431, and the connection is
closed.

On loopback the service needs no key, and all callers are one tenant. Elsewhere (or with `OFFHAND_API__KEYS=required`)
each request carries `Authorization: Bearer KEY`; a browser sends the key as password. The operator creates the first
key with `python -m api.keys create --tenant NAME`, further ones with `POST /v1/api-keys`. Scopes: `read`; `write`,
which includes `read`; `admin`, which also manages keys. Resources of other tenants are answered with 404.
`RateLimit-Policy` and `RateLimit` are the limit and the remaining requests.
"""


def reference(document: dict[str, Any]) -> str:
    """The Markdown text for an OpenAPI 3.1 document."""
    operations = [
        (method, path, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item
    ]
    lines = [PREFACE, *_statuses(operations)]
    for tag in dict.fromkeys(_tag(operation) for _, _, operation in operations):
        lines.append(f"## {tag[:1].upper()}{tag[1:]}\n")
        for method, path, operation in operations:
            if _tag(operation) == tag:
                lines += _operation(method, path, operation, document)
    lines += _documents(operations, document)
    return "\n".join(lines).rstrip() + "\n"


Operation = tuple[str, str, dict[str, Any]]


def _statuses(operations: list[Operation]) -> Iterator[str]:
    """Yield the meaning of each error status, once for all routes."""
    meanings = {
        status: answer.get("description", "")
        for _, _, operation in operations
        for status, answer in operation["responses"].items()
        if status >= "400"
    }
    yield "| status | meaning |\n|---|---|"
    yield from (f"| {status} | {meaning} |" for status, meaning in sorted(meanings.items()))
    yield ""


def _documents(operations: list[Operation], document: dict[str, Any]) -> Iterator[str]:
    """A table for each document that an answer can hold."""
    names = {
        name
        for _, _, operation in operations
        for status, answer in operation["responses"].items()
        if status < "300"
        for name in _named(answer, document)
    }
    yield "## Documents\n"
    for name in sorted(names):
        schema = document["components"]["schemas"][name]
        yield f"### {name}\n"
        if schema.get("description"):
            yield f"{schema['description'].strip()}\n"
        yield "| field | type | description |\n|---|---|---|"
        for field, inner in schema.get("properties", {}).items():
            yield _row(field, _type(inner, document), inner.get("description", ""))
        yield ""


def _named(schema: Any, document: dict[str, Any]) -> set[str]:
    """Names of the component schemas that a piece of the document refers to, directly or by another of them."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, dict):
            name = str(piece.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                waiting.append(document["components"]["schemas"][name])
            waiting += piece.values()
        elif isinstance(piece, list):
            waiting += piece
    return {name for name in found if document["components"]["schemas"][name].get("properties")}


def _tag(operation: dict[str, Any]) -> str:
    tags = operation.get("tags") or ["other"]
    return str(tags[0])


def _operation(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} `{path}`\n"
    text = operation.get("description") or operation.get("summary")
    if text:
        yield f"{text.strip()}\n"
    fields = [_parameter(one, document) for one in operation.get("parameters", [])]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        fields += _body(content.get("schema", {}), document)
    if fields:
        yield "| field | in | type | default | description |\n|---|---|---|---|---|"
        yield from fields
        yield ""
    example = _example(operation)
    if example is not None:
        yield f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```\n"
    yield "Answers: " + ", ".join(_answer(status, answer) for status, answer in operation["responses"].items())
    yield ""


def _answer(status: str, answer: dict[str, Any]) -> str:
    if status >= "400":
        return status
    words = answer.get("description", "")
    names = [
        content["schema"]["$ref"].rpartition("/")[2]
        for content in answer.get("content", {}).values()
        if "$ref" in content.get("schema", {})
    ]
    documents = " or ".join(f"[{name}](#{name.lower()})" for name in names)
    said = "" if words == "Successful Response" else words.strip().partition("\n")[0].rstrip(".")
    return " ".join(filter(None, (f"**{status}**", documents, f"({said})" if said else "")))


def _parameter(parameter: dict[str, Any], document: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    default = "required" if parameter.get("required") else _default(schema)
    description = parameter.get("description") or schema.get("description", "")
    return _row(parameter["name"], parameter["in"], _type(schema, document), default, description)


def _body(schema: dict[str, Any], document: dict[str, Any], prefix: str = "") -> list[str]:
    """A row for each field of a JSON body; nested objects, optional ones, those in lists and variants of unions too."""
    schema = _resolved(schema, document)
    rows = []
    for variant in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        rows += _body(variant, document, prefix)
    for name, field in schema.get("properties", {}).items():
        inner = _resolved(field, document)
        if inner.get("properties"):
            rows += _body(inner, document, f"{prefix}{name}.")
            continue
        required = name in schema.get("required", ())
        default = "required" if required else _default(field)
        items = _resolved(inner.get("items", {}), document)
        optional = [one for one in inner.get("anyOf", ()) if _resolved(one, document).get("properties")]
        kind = (
            "list of objects" if items.get("properties") else "object or null" if optional else _type(field, document)
        )
        rows.append(_row(prefix + name, "body", kind, default, field.get("description", "")))
        for part in optional:
            rows += _body(part, document, f"{prefix}{name}.")
        if items.get("properties"):
            rows += _body(items, document, f"{prefix}{name}[].")
    return rows


def _row(*cells: str) -> str:
    name, *rest = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| `{name}` | {' | '.join(rest)} |"


def _default(schema: dict[str, Any]) -> str:
    return f"`{json.dumps(schema['default'], ensure_ascii=False)}`" if "default" in schema else ""


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type(schema: dict[str, Any], document: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = _resolved(schema, document)
    if schema.get("properties"):
        return f"[{name}](#{name.lower()})" if name else "object"
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants:
        return " or ".join(dict.fromkeys(_type(variant, document) for variant in variants))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), document)}"
    limits = [f"{sign} {_plain(schema[key])}" for key, sign in _LIMITS.items() if key in schema]
    return f"{kind} {', '.join(limits)}".rstrip()


def _plain(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _example(operation: dict[str, Any]) -> Any:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "example" in content:
            return content["example"]
        for example in content.get("examples", {}).values():
            return example.get("value")
    return None


def main() -> int:
    """Print the reference; return the exit code."""
    from api.app import create_app

    sys.stdout.write(reference(create_app().openapi()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
