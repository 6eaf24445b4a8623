"""How jobs are asked for: every problem at once, YAML from a repository, one answer at a time for a key."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.protocol.idempotency_lock import OneRequestPerKey
from store.database.database import Database
from store.job_kinds import KINDS
from store.objects import ObjectStore
from store.tenancy.api_keys import Caller
from tests.api.worlds import add_labeler

YAML = {"Content-Type": "application/yaml"}


def pointers(answer: Any) -> set[str]:
    return {problem["pointer"] for problem in answer.json()["errors"]}


def test_what_the_schema_refuses_and_what_is_absent_are_named_together(http: TestClient) -> None:
    wish = {"labels": "upl_absent", "generator": "nobody", "count": 0, "truncation_psi": 3, "colour": "red"}
    answer = http.post("/v1/jobs", json=wish)
    assert answer.status_code == 422
    assert pointers(answer) == {"#/labels", "#/generator", "#/count", "#/truncation_psi", "#/colour"}


def test_a_missing_field_hides_nothing(http: TestClient) -> None:
    answer = http.post("/v1/jobs", json={"generator": "nobody"})
    assert pointers(answer) == {"#/labels", "#/count", "#/generator"}


def test_any_kind_of_job_can_be_asked_for(http: TestClient, wish: dict[str, Any]) -> None:
    labeler = {"kind": "train_labeler", "labels": wish["labels"], "generator": "tiny", "folds": 3}
    answer = http.post("/v1/jobs", json=labeler)
    assert (answer.status_code, answer.json()["kind"]) == (202, "train_labeler")
    assert [step["name"] for step in answer.json()["steps"]] == [
        "validate", "invert", "train_labeler", "assess_labeler",
    ]  # fmt: skip
    samples = http.post("/v1/jobs", json={"kind": "draw_samples", "generator": "tiny", "count": 3})
    assert (samples.status_code, samples.json()["kind"]) == (202, "draw_samples")
    assert samples.json()["urls"]["result"] == f"/v1/sample-sets/{samples.json()['result']['samples']}"


def test_every_kind_is_known(http: TestClient) -> None:
    for kind in KINDS:
        answer = http.post("/v1/jobs", json={"kind": kind, "colour": "red"})
        assert "#/colour" in pointers(answer), answer.text
        assert "#/kind" not in pointers(answer)
    for unknown in ("no_such", 3, None, []):
        assert pointers(http.post("/v1/jobs", json={"kind": unknown})) == {"#/kind"}


def test_problems_of_other_kinds_stand_where_they_were_written(http: TestClient) -> None:
    wish = {"kind": "train_labeler", "labels": "upl_absent", "generator": "nobody", "labeler": {"members": 0}}
    assert pointers(http.post("/v1/jobs", json=wish)) == {"#/labels", "#/generator", "#/labeler/members"}


def test_labels_can_be_checked_alone_against_the_request(
    http: TestClient, wish: dict[str, Any], db: Database, objects: ObjectStore
) -> None:
    check = {"kind": "check_labels", "labels": wish["labels"], "generator": "tiny"}
    steered = check | {"composition": [{"class": "hatt", "min_fraction": 0.5}]}
    answer = http.post("/v1/jobs", json=steered)
    assert (answer.status_code, answer.json()["kind"]) == (202, "check_labels"), "the worker reads the upload"
    assert [step["name"] for step in answer.json()["steps"]] == ["validate"]
    assert pointers(http.post("/v1/jobs", json=check | {"generator": "nobody", "count": 3})) == {
        "#/generator",
        "#/count",
    }
    add_labeler(db, objects, http.get("/v1/generators/tiny").json()["id"])
    known = steered | {"labels": "ls_1"}
    assert pointers(http.post("/v1/jobs", json=known)) == {"#/composition/0/class"}


def test_a_rehearsal_says_whether_the_labels_were_read(
    http: TestClient, wish: dict[str, Any], db: Database, objects: ObjectStore
) -> None:
    unread = http.post("/v1/jobs?validate_only=true", json=wish).json()
    assert (unread["labels_checked"], unread["seconds"], unread["rough"]) == (False, None, False)
    add_labeler(db, objects, http.get("/v1/generators/tiny").json()["id"])
    read = http.post("/v1/jobs?validate_only=true", json=wish | {"labels": "ls_1", "inversion": {"steps": 100}}).json()
    assert (read["labels_checked"], read["rough"]) == (True, True)
    assert read["seconds"] > 90, "typical times, as nothing was measured yet"
    more = http.post("/v1/jobs?validate_only=true", json=wish | {"labels": "ls_1", "inversion": {"steps": 200}}).json()
    assert more["seconds"] > read["seconds"]


def test_other_kinds_are_rehearsed(http: TestClient, wish: dict[str, Any]) -> None:
    labeler = {"kind": "train_labeler", "labels": wish["labels"], "generator": "tiny"}
    answer = http.post("/v1/jobs", params={"validate_only": True}, json=labeler)
    assert answer.status_code == 200
    assert answer.json() == {
        "valid": True, "count": None, "candidates": None, "bytes": None, "seconds": None, "rough": False,
        "queued_jobs": 0, "labels_checked": False,
    }  # fmt: skip
    assert http.get("/v1/jobs").json()["items"] == []
    refused = http.post("/v1/jobs", params={"validate_only": True}, json=labeler | {"generator": "nobody"})
    assert pointers(refused) == {"#/generator"}


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "3", '{"labels": {}, "generator": [], "count": "x"}'])
def test_bodies_of_another_shape(http: TestClient, body: str) -> None:
    answer = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_yaml_spec_is_the_same_as_json(http: TestClient, wish: dict[str, Any]) -> None:
    text = f"""
    # lives in a repository
    kind: generate
    labels: {wish["labels"]}
    generator: tiny
    count: 20
    seed: 1
    labeler: {{preset: fast}}
    labels_map: {{project: heads, date: "2026-01-01"}}
    """
    answer = http.post("/v1/jobs", content=text, headers=YAML)
    assert answer.status_code == 202, answer.text
    labels_map = {"project": "heads", "date": "2026-01-01"}
    same = http.post("/v1/jobs", json=wish | {"labeler": {"preset": "fast"}, "labels_map": labels_map})
    assert answer.json()["request"] == same.json()["request"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("a: &x [1]\nb: *x", 400),
        ("a: [", 400),
        ("!!python/object/apply:os.system ['true']", 400),
        ("[" * 5000, 400),
        ("\x00", 400),
        ("count: .nan", 422),
        ("x" * 100_000, 413),
        ("", 422),
    ],
)
def test_yaml_that_is_no_spec(http: TestClient, text: str, status: int) -> None:
    answer = http.post("/v1/jobs", content=text or " ", headers=YAML)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_other_media_types_are_not_read(http: TestClient, media_type: str) -> None:
    answer = http.post("/v1/jobs", content=b"{}", headers={"Content-Type": media_type})
    assert answer.status_code == 415


def test_a_key_whose_first_request_is_not_answered_yet() -> None:
    release, began = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        await release.wait()
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = OneRequestPerKey(slow)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tenant = dict(scope["headers"]).get(b"x-tenant", b"acme").decode()
        scope["app"] = FastAPI()
        scope["state"] = {"caller": Caller(tenant, "", frozenset())}
        await guarded(scope, receive, send)

    async def scenario() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            key = {"Idempotency-Key": "one"}
            first = asyncio.create_task(client.post("/v1/jobs", headers=key))
            await began.wait()
            second = await client.post("/v1/jobs", headers=key)
            assert second.status_code == 409
            assert second.json()["code"] == "idempotency_in_flight"
            assert second.headers["retry-after"] == "1"
            others = [{"Idempotency-Key": "two"}, {}, key | {"X-Tenant": "other"}]
            tasks = [asyncio.create_task(client.post("/v1/jobs", headers=headers)) for headers in others]
            await asyncio.sleep(0)
            release.set()
            assert [answer.status_code for answer in await asyncio.gather(first, *tasks)] == [202] * 4
            assert (await client.post("/v1/jobs", headers=key)).status_code == 202

    asyncio.run(scenario())
