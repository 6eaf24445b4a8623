"""The document is complete and honest: every route and status, operation ids that read well, examples that run."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.problems import MEDIA_TYPE

VERBS = "(get|list|create|put|complete|update|delete|cancel|resume|rotate|redeliver|test|undelete)"


@pytest.fixture
def document(http: TestClient) -> dict[str, Any]:
    described: dict[str, Any] = http.get("/openapi.json").json()
    return described


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_operation_ids_make_a_readable_client(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(VERBS + "_[a-z_]+", i) for i in ids), ids
    assert all(operation["description"] for operation in operations(document).values())


def test_every_error_is_a_problem_document(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        for status, answer in operation["responses"].items():
            assert answer["description"]
            if int(status) >= 400:
                assert set(answer["content"]) == {MEDIA_TYPE}, operation["operationId"]
    assert "HTTPValidationError" not in json.dumps(document)


def test_every_route_says_what_can_always_happen(document: dict[str, Any]) -> None:
    silent = {
        k for k, operation in operations(document).items() if not {"403", "500", "503"} <= set(operation["responses"])
    }
    assert silent <= {("/healthz", "get")}


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        place: Any = document
        for part in reference.split("/"):
            place = place[part]


def test_examples_of_jobs_run(http: TestClient, document: dict[str, Any], upload: str) -> None:
    examples = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) >= 2
    for example in examples.values():
        # An example cannot know the id of an upload that is here, nor which generator is.
        body = example["value"] | {"labels": upload, "generator": "tiny"}
        assert http.post("/v1/jobs", json=body).status_code == 202


def test_the_example_of_an_upload_runs(http: TestClient, document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/uploads"]["post"]["requestBody"]["content"]
    assert {"application/json", "application/zip"} <= set(content)
    assert http.post("/v1/uploads", json=content["application/json"]["example"]).status_code == 201
