"""The document is complete and honest: every route and status, operation ids that read well, examples that run."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.protocol.problems import MEDIA_TYPE
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.generators import NewGenerator, add_generator, get_generator
from tests.api.worlds import TENANT, add_labeler, add_photographs, finish_dataset

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


def test_every_list_takes_a_page_size_and_a_token(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    lists = 0
    for (path, method), operation in operations(document).items():
        answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
        name = answer.get("schema", {}).get("$ref", "").rpartition("/")[2]
        if method == "get" and "next_page_token" in schemas.get(name, {}).get("properties", {}):
            lists += 1
            assert {"page_size", "page_token"} <= {one["name"] for one in operation["parameters"]}, path
    assert lists > 10


def test_a_short_list_comes_in_pages(http: TestClient) -> None:
    whole = http.get("/v1/catalogue").json()["items"]
    first = http.get("/v1/catalogue?page_size=2").json()
    rest = http.get(f"/v1/catalogue?page_size=200&page_token={first['next_page_token']}").json()
    assert [*first["items"], *rest["items"]] == whole
    assert rest["next_page_token"] is None


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
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    assert len(references) > 40
    lost = [reference for reference in references if not found(document, reference.split("/"))]
    assert not lost


def found(place: Any, path: list[str]) -> bool:
    return not path or (path[0] in place and found(place[path[0]], path[1:]))


def test_links_lead_to_operations_that_take_what_they_give(document: dict[str, Any]) -> None:
    taken = {
        operation["operationId"]: {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        for operation in operations(document).values()
    }
    links = [
        link
        for operation in operations(document).values()
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(links) > 70
    assert all(set(link["parameters"]) == taken[link["operationId"]] for link in links)


def test_every_example_of_a_body_runs(
    http: TestClient, document: dict[str, Any], upload: str, held_out: str, db: Database, objects: ObjectStore
) -> None:
    """An example cannot know the ids of what is here; with them in place it is taken as it stands."""
    labeler = add_labeler(db, objects, http.get("/v1/generators/tiny").json()["id"])
    job = http.post("/v1/jobs", json={"labels": upload, "generator": "tiny", "count": 20}).json()
    finish_dataset(db, objects, job)
    dataset = job["result"]["dataset"]
    # A name that no test can look up stands for an address, and a digest for one of what is there.
    here = {"labels": upload, "generator": "tiny", "dataset": dataset, "url": "https://93.184.215.14/offhand"}
    endpoint = http.post("/v1/webhook-endpoints", json={"url": here["url"]}).json()["id"]
    ids = {"dataset_id": dataset, "labeler_id": labeler, "upload_id": upload, "endpoint_id": endpoint, "name": "latest"}
    ids["image_set_id"] = here["images"] = add_photographs(db, objects)
    tiny = get_generator(db, "tiny", tenant=TENANT)
    own = NewGenerator("gen_own", "own", tiny.digest, 16, 24, "", tiny.info)  # of the size of the photographs
    with db.write() as connection:
        add_generator(connection, TENANT, own)
    ids["generator_id"] = own.id
    ran = []
    for (path, method), operation in operations(document).items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        examples = [one["value"] for one in body.get("examples", {}).values()]
        examples += [body["example"]] if "example" in body else []
        examples += schema_of(document, body).get("examples", [])
        if operation["operationId"] == "create_part_links":
            continue  # its example runs where there is an object store, in test_part_links.py
        for example in examples:
            wish = {name: here.get(name, value) for name, value in example.items()}
            wish |= {"source": upload} if str(wish.get("source", "")).startswith("upl_") else {}
            if operation["operationId"] == "create_evaluation":
                wish["labels"] = held_out  # those that made the dataset cannot judge it
            answer = http.request(method, path.format(**ids), json=wish)
            assert answer.status_code in (200, 201, 202), (operation["operationId"], wish, answer.text)
            ran.append(operation["operationId"])
    with_a_body = {
        operation["operationId"]
        for operation in operations(document).values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert with_a_body == {*ran, "create_part_links"}, "every body has an example"


def schema_of(document: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = body.get("schema", {})
    if "$ref" in schema:
        resolved: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return resolved | schema
    return schema


def test_allowed_methods_are_those_of_the_path_with_the_fewest_parameters(http: TestClient) -> None:
    assert http.options("/v1/generators/trainings").headers["Allow"] == "POST"
    assert http.options("/v1/generators/heads64").headers["Allow"] == "DELETE, GET, HEAD"
