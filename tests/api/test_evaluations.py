"""Evaluations over HTTP: asked for, listed, their reports fetched."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from store.db import Database
from store.objects import ObjectStore
from tests.api.test_errors import problem
from tests.api.worlds import end_job, finish_dataset, keep

Start = Callable[..., dict[str, Any]]


def test_an_evaluation_is_asked_for_and_its_report_fetched(
    http: TestClient, start: Start, db: Database, objects: ObjectStore
) -> None:
    made = start()
    finish_dataset(db, objects, made)
    dataset, labels = made["result"]["dataset"], made["request"]["labels"]
    headers = {"Idempotency-Key": "one"}
    answer = http.post("/v1/evaluations", json={"dataset": dataset, "labels": labels}, headers=headers)
    job = answer.json()
    assert (answer.status_code, job["kind"], job["state"]) == (202, "evaluate", "queued")
    assert [step["name"] for step in job["steps"]] == ["validate", "evaluate"]
    path = answer.headers["location"]
    assert path == f"/v1/evaluations/{job['id']}"
    again = http.post("/v1/evaluations", json={"dataset": dataset, "labels": labels}, headers=headers)
    assert again.json()["id"] == job["id"]
    assert http.get(path).json()["report"] is None
    problem(http.get(f"{path}/report"), 409, "not_ready")

    report = json.dumps({"verdict": "use"}).encode()
    keep(db, objects, dataset, f"evaluations/{job['id']}/report.json", report, "application/json")
    keep(db, objects, dataset, f"evaluations/{job['id']}/report.html", b"<!doctype html>", "text/html; charset=utf-8")
    with db.write() as connection:
        end_job(connection, job["id"], "succeeded")
    (found,) = http.get(f"/v1/evaluations?dataset={dataset}").json()["items"]
    assert found["state"] == "succeeded"
    assert http.get(found["report_json"]).json() == {"verdict": "use"}
    page = http.get(found["report"])
    assert page.headers["content-type"].startswith("text/html")
    assert page.text == "<!doctype html>"
    # It holds its style itself, which the policy of our own pages would not let it use.
    assert "style-src 'unsafe-inline'" in page.headers["content-security-policy"]
    assert "sandbox" in page.headers["content-security-policy"]
    assert http.get("/v1/evaluations?dataset=ds_other").json()["items"] == []


def test_every_problem_is_named(http: TestClient) -> None:
    refused = http.post("/v1/evaluations", json={"dataset": "ds_none", "labels": "upl_none"})
    found = problem(refused, 422, "invalid_request")
    assert [one["pointer"] for one in found["errors"]] == ["#/dataset", "#/labels"]
    problem(http.post("/v1/evaluations", json={"dataset": "ds_none"}), 422, "invalid_request")
    problem(http.get("/v1/evaluations/job_none"), 404, "not_found")
