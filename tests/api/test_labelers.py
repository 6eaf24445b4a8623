"""Quality reports of labelers over HTTP: asked for, told when they are not there, fetched in three forms."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from store.resources.quality_reports import report_file
from tests.api.protocol.test_errors import problem
from tests.api.worlds import PICTURE, add_labeler, end_job, keep


def test_a_report_is_asked_for_and_fetched(http: TestClient, db: Database, objects: ObjectStore) -> None:
    labeler = add_labeler(db, objects, "gen_1")
    path = f"/v1/labelers/{labeler}"
    assert http.get(path).json()["quality"] is None
    problem(http.get(f"{path}/report"), 409, "not_ready")
    answer = http.post(f"{path}/reports", json={"folds": 3}, headers={"Idempotency-Key": "one"})
    job = answer.json()
    assert (answer.status_code, job["kind"], job["request"]["folds"]) == (202, "assess_labeler", 3)
    assert job["result"] == {"labeler": labeler}
    again = http.post(f"{path}/reports", json={"folds": 3}, headers={"Idempotency-Key": "one"})
    assert again.json()["id"] == job["id"]
    for name, content, media_type in (
        ("report.json", b'{"images": 6}', "application/json"),
        ("report.html", b"<!doctype html>", "text/html; charset=utf-8"),
        ("report.png", PICTURE, "image/png"),
    ):
        keep(db, objects, labeler, report_file(job["id"], name), content, media_type)
    with db.write() as connection:
        end_job(connection, job["id"], "succeeded")
    quality = http.get(path).json()["quality"]
    assert http.get(quality).text == "<!doctype html>"
    assert http.get(f"{quality}.json").json() == {"images": 6}
    assert http.get(f"{quality}.png").content == PICTURE


def test_what_cannot_be_is_refused(http: TestClient, db: Database, objects: ObjectStore) -> None:
    problem(http.post("/v1/labelers/lab_none/reports", json={}), 404, "not_found")
    problem(http.get("/v1/labelers/lab_none/report"), 404, "not_found")
    refused = http.post(f"/v1/labelers/{add_labeler(db, objects, 'gen_1')}/reports", json={"folds": 1, "parts": 2})
    found = problem(refused, 422, "invalid_request")
    assert {one["pointer"] for one in found["errors"]} == {"#/folds", "#/parts"}


def test_a_labeler_is_trained_alone(http: TestClient, wish: dict[str, Any]) -> None:
    asked = {"labels": wish["labels"], "generator": "tiny", "folds": 3, "labels_map": {"project": "heads"}}
    answer = http.post("/v1/labelers", json=asked, headers={"Idempotency-Key": "one"})
    job = answer.json()
    assert (answer.status_code, job["kind"], job["request"]["folds"]) == (202, "train_labeler", 3)
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert http.post("/v1/labelers", json=asked, headers={"Idempotency-Key": "one"}).json()["id"] == job["id"]
    assert [one["id"] for one in http.get("/v1/jobs", params={"label": "project=heads"}).json()["items"]] == [job["id"]]
    refused = http.post("/v1/labelers", json={"labels": "upl_none", "generator": "nobody"})
    assert {one["pointer"] for one in problem(refused, 422, "invalid_request")["errors"]} == {"#/labels", "#/generator"}
