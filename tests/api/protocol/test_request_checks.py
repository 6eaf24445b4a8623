"""Text that cannot be stored and query parameters that do not exist are refused on every route, in every place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.protocol.request_checks import text_problems
from tests.api.protocol.test_errors import problem

NUL, SURROGATE = "a\0b", "a\ud800b"
JSON = {"Content-Type": "application/json"}


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of the document: method, path, description."""
    paths = app.openapi()["paths"]
    return [(method.upper(), path, one) for path, methods in paths.items() for method, one in methods.items()]


def body_of(operation: dict[str, Any], app: FastAPI) -> dict[str, Any] | None:
    """An example of the JSON body of an operation; None where it takes none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    examples = [one["value"] for one in content.get("examples", {}).values()] or [content.get("example")]
    name = str(content["schema"].get("$ref", "")).rpartition("/")[2]
    examples += app.openapi()["components"]["schemas"].get(name, {}).get("examples", [])
    examples += content["schema"].get("examples", [])
    return next(dict(one) for one in examples if one)


def with_bad_text(example: Any, bad: str) -> Iterator[tuple[str, Any]]:
    """The example with the bad text in each of its strings and as a further key of each object, with its pointer."""
    if isinstance(example, str):
        yield "", bad
    elif isinstance(example, dict):
        yield "/" + json.dumps(bad)[1:-1].replace("\\u0000", "\\x00"), example | {bad: 1}
        for name, value in example.items():
            for pointer, changed in with_bad_text(value, bad):
                yield f"/{name}{pointer}", example | {name: changed}
    elif isinstance(example, list):
        for index, value in enumerate(example):
            for pointer, changed in with_bad_text(value, bad):
                yield f"/{index}{pointer}", [*example[:index], changed, *example[index + 1 :]]


def pointers(answer: Any) -> set[str]:
    return {one["pointer"] for one in problem(answer, 422, "invalid_request")["errors"]}


@pytest.mark.parametrize("bad", [NUL, SURROGATE], ids=["nul", "surrogate"])
def test_unstorable_text_in_any_string_of_any_body_is_422(http: TestClient, app: FastAPI, bad: str) -> None:
    asked = 0
    for method, path, operation in operations(app):
        example = body_of(operation, app)
        for pointer, body in with_bad_text(example, bad) if example else ():
            url = re.sub(r"\{number\}", "1", re.sub(r"\{(?!number)\w+\}", "some", path))
            answer = http.request(method, url, content=json.dumps(body), headers=JSON)
            assert f"#{pointer}" in pointers(answer), (path, pointer, answer.text)
            asked += 1
    assert asked > 40


def test_nul_in_any_path_is_422(http: TestClient, app: FastAPI) -> None:
    for method, path, operation in operations(app):
        for name in re.findall(r"\{(\w+)\}", path):
            url = re.sub(r"\{\w+\}", "1", path.replace(f"{{{name}}}", "a%00b"))
            body = body_of(operation, app)
            answer = http.request(method, url, json=body) if body else http.request(method, url)
            assert f"path:{name}" in pointers(answer), (method, url)


def test_nul_in_any_query_parameter_is_422(http: TestClient, app: FastAPI) -> None:
    for method, path, operation in operations(app):
        for one in operation.get("parameters", ()):
            if one["in"] == "query":
                url = f"{re.sub(r'{[^}]+}', '1', path)}?{one['name']}=a%00b"
                assert f"query:{one['name']}" in pointers(http.request(method, url)), (method, url)


@pytest.mark.parametrize("header", ["Idempotency-Key", "Prefer", "If-None-Match", "X-Anything"])
def test_nul_in_a_header_is_422(http: TestClient, wish: dict[str, Any], header: str) -> None:
    answer = http.post("/v1/jobs", json=wish, headers={header: "a\0b"})
    assert f"header:{header.lower()}" in pointers(answer)


def test_nul_in_the_path_of_a_page_is_422(http: TestClient) -> None:
    assert pointers(http.get("/jobs/a%00b")) == {"path:job_id"}
    assert "query:page_token" in pointers(http.get("/?page_token=%00"))


@pytest.mark.parametrize("written", ['labels: "a\\0b"', 'labels: "a\\uD800b"', 'labels_map: {"a\\0b": x}'])
def test_unstorable_text_in_yaml_is_422(http: TestClient, written: str) -> None:
    answer = http.post("/v1/jobs", content=written, headers={"Content-Type": "application/yaml"})
    assert pointers(answer) & {"#/labels", "#/labels_map/a\\x00b"}


def test_unstorable_text_is_reported_with_all_other_problems(http: TestClient) -> None:
    body = {"labels": "a\0b", "count": -1, "generator": "nowhere", "colour": "red"}
    assert pointers(http.post("/v1/jobs?validat_only=true&validate_only=perhaps", json=body)) == {
        "#/labels", "#/count", "#/generator", "#/colour", "query:validat_only", "query:validate_only"
    }  # fmt: skip


def test_text_of_every_script_is_taken(http: TestClient, wish: dict[str, Any]) -> None:
    names = {"a": "\u00e9\u6f22\U0001f600", "b": "\t\n\x1b\x7f"}
    body = json.dumps(wish | {"labels_map": names}, ensure_ascii=True)  # \ud83d\ude00: both halves of a pair
    assert http.post("/v1/jobs", content=body, headers=JSON).status_code == 202


def test_text_problems_of_a_document_deeper_than_the_stack() -> None:
    document: Any = "a\0"
    for _ in range(10_000):
        document = [document]
    assert len(list(text_problems(document))) == 1


def test_unknown_query_parameter_is_422_on_every_route(http: TestClient, app: FastAPI) -> None:
    for method, path, operation in operations(app):
        body = body_of(operation, app)
        url = re.sub(r"{[^}]+}", "1", path) + "?zzz=1"
        answer = http.request(method, url, json=body) if body else http.request(method, url)
        assert "query:zzz" in pointers(answer), (method, url)
    for url in ("/?zzz=1", "/jobs/job_1?zzz=1"):
        assert pointers(http.get(url)) == {"query:zzz"}


def test_unknown_query_parameter_is_named_with_the_close_one(http: TestClient) -> None:
    document = problem(http.get("/v1/jobs?pagesize=3&foo=1"), 422, "invalid_request")
    details = {one["pointer"]: one["detail"] for one in document["errors"]}
    assert "did you mean `page_size`?" in details["query:pagesize"]
    assert "expected one of: created_after, kind" in details["query:foo"]


@pytest.mark.parametrize(
    ("change", "pointer", "meant"),
    [
        ({"labeler": {"memers": 3}}, "#/labeler/memers", "members"),
        ({"cuont": 3}, "#/cuont", "count"),
        ({"inversion": {"stepz": 3}}, "#/inversion/stepz", "steps"),
        ({"kind": "train_labeler", "labler": {}}, "#/labler", "labeler"),
    ],
)
def test_unknown_field_is_named_with_the_close_one(
    http: TestClient, wish: dict[str, Any], change: dict[str, Any], pointer: str, meant: str
) -> None:
    document = problem(http.post("/v1/jobs", json=wish | change), 422, "invalid_request")
    details = {one["pointer"]: one["detail"] for one in document["errors"]}
    assert f"did you mean `{meant}`?" in details[pointer]


def test_unknown_field_with_no_close_one_lists_the_fields(http: TestClient) -> None:
    document = problem(http.post("/v1/api-keys", json={"name": "ci", "{qqq}": 1}), 422, "invalid_request")
    assert document["errors"] == [
        {"pointer": "#/{qqq}", "detail": "no such field; expected one of: expires_in_days, name, scopes"}
    ]
