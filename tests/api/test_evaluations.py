"""Evaluations over HTTP: asked for, listed, their reports fetched."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from store.resources.artifacts import NewMade, add_made
from tests.api.protocol.test_errors import problem
from tests.api.worlds import end_job, finish_dataset, keep

Start = Callable[..., dict[str, Any]]


def test_an_evaluation_is_asked_for_and_its_report_fetched(
    http: TestClient, start: Start, db: Database, objects: ObjectStore, held_out: str
) -> None:
    made = start()
    finish_dataset(db, objects, made)
    dataset, labels = made["result"]["dataset"], held_out
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


def test_a_dataset_of_too_few_images_is_not_evaluated(
    http: TestClient, start: Start, db: Database, objects: ObjectStore, held_out: str
) -> None:
    made = start(count=4)
    finish_dataset(db, objects, made)
    dataset = made["result"]["dataset"]
    refused = problem(
        http.post("/v1/evaluations", json={"dataset": dataset, "labels": held_out}), 422, "invalid_request"
    )
    assert refused["errors"] == [
        {"detail": f"the dataset {dataset!r} has 4 images; at least 8 are needed", "pointer": "#/dataset"}
    ]


def test_one_labelled_image_does_not_judge_a_dataset(
    http: TestClient, start: Start, db: Database, objects: ObjectStore
) -> None:
    made = start()
    finish_dataset(db, objects, made)
    with db.write() as connection:
        add_made(connection, "local", NewMade("label_set", "ls_2", "d2", {"images": 1}))
    wish = {"dataset": made["result"]["dataset"], "labels": "ls_2"}
    refused = problem(http.post("/v1/evaluations", json=wish), 422, "invalid_request")
    assert "1 labelled image; at least 2 are needed" in refused["errors"][0]["detail"]


def test_labels_that_made_the_dataset_do_not_judge_it(
    http: TestClient, start: Start, db: Database, objects: ObjectStore, archive: bytes
) -> None:
    made = start()
    finish_dataset(db, objects, made)
    again = http.post("/v1/uploads", content=archive, headers={"Content-Type": "application/zip"}).json()["id"]
    for labels in (made["request"]["labels"], again):
        wish = {"dataset": made["result"]["dataset"], "labels": labels}
        for looking in ({}, {"validate_only": True}):
            refused = problem(http.post("/v1/evaluations", json=wish, params=looking), 422, "invalid_request")
            assert [one["pointer"] for one in refused["errors"]] == ["#/labels"]


def test_every_problem_is_named(http: TestClient) -> None:
    refused = http.post("/v1/evaluations", json={"dataset": "ds_none", "labels": "upl_none"})
    found = problem(refused, 422, "invalid_request")
    assert [one["pointer"] for one in found["errors"]] == ["#/dataset", "#/labels"]
    problem(http.post("/v1/evaluations", json={"dataset": "ds_none"}), 422, "invalid_request")
    problem(http.get("/v1/evaluations/job_none"), 404, "not_found")
