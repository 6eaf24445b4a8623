"""Samples for people to label over HTTP: asked for, listed, fetched, named by a job."""

from __future__ import annotations

from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from store.resources.sample_sets import ARCHIVE
from tests.api.protocol.test_errors import problem
from tests.api.worlds import end_job, keep


def test_samples_are_asked_for_and_fetched(http: TestClient, db: Database, objects: ObjectStore, upload: str) -> None:
    answer = http.post("/v1/sample-sets", json={"generator": "tiny", "count": 3, "seed": 1})
    job = answer.json()
    assert (answer.status_code, job["kind"], job["counts"]["total"]) == (202, "draw_samples", 3)
    path = answer.headers["location"]
    samples = job["result"]["samples"]
    assert path == f"/v1/sample-sets/{samples}"
    assert http.get(path).json() | {"id": samples, "job": job["id"], "archive": None} == http.get(path).json()
    problem(http.get(f"{path}/archive"), 409, "not_ready")
    wish = {"labels": upload, "generator": "tiny", "count": 2, "samples": samples}
    early = problem(http.post("/v1/jobs", json=wish), 422, "invalid_request")
    assert [one["pointer"] for one in early["errors"]] == ["#/samples"]
    keep(db, objects, samples, ARCHIVE, b"PK", "application/zip")
    with db.write() as connection:
        end_job(connection, job["id"], "succeeded")
    (found,) = http.get("/v1/sample-sets").json()["items"]
    fetched = http.get(found["archive"])
    assert fetched.content == b"PK"
    assert f'filename="{samples}.zip"' in fetched.headers["content-disposition"]
    assert http.post("/v1/jobs", json=wish).status_code == 202


def test_what_cannot_be_drawn_is_refused(http: TestClient) -> None:
    refused = http.post("/v1/sample-sets", json={"generator": "none", "count": 3})
    assert [one["pointer"] for one in problem(refused, 422, "invalid_request")["errors"]] == ["#/generator"]
    refused = http.post("/v1/sample-sets", json={"generator": "tiny", "count": 0, "offset": -1})
    assert {one["pointer"] for one in problem(refused, 422, "invalid_request")["errors"]} == {"#/count", "#/offset"}
    problem(http.get("/v1/sample-sets/smp_none"), 404, "not_found")
    problem(http.get("/v1/sample-sets/smp_none/archive"), 404, "not_found")
