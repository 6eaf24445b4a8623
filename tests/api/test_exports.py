"""Datasets in other formats, over HTTP: asked for once, fetched in parts."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from tests.api.protocol.test_errors import problem
from tests.api.worlds import end_job, finish_dataset, keep

Start = Callable[..., dict[str, Any]]
ZIP = b"PK\x03\x04" + b"an export" * 1000


@pytest.fixture
def ready(start: Start, db: Database, objects: ObjectStore) -> str:
    """The path of a finished dataset."""
    job = start()
    finish_dataset(db, objects, job)
    return str(job["urls"]["result"])


def finish_export(db: Database, objects: ObjectStore, job: dict[str, Any]) -> None:
    keep(db, objects, job["result"]["dataset"], f"exports/{job['request']['format']}.zip", ZIP, "application/zip")
    with db.write() as connection:
        end_job(connection, job["id"], "succeeded")


def test_an_export_is_asked_for_made_and_fetched(
    http: TestClient, ready: str, db: Database, objects: ObjectStore
) -> None:
    assert http.get(f"{ready}/exports").json()["items"] == []
    answer = http.post(f"{ready}/exports", json={"format": "coco"})
    job = answer.json()
    assert (answer.status_code, job["kind"], job["state"]) == (202, "export", "queued")
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["urls"]["result"] == ready
    again = http.post(f"{ready}/exports", json={"format": "coco"})
    assert (again.status_code, again.json()["id"]) == (202, job["id"]), "the same work is not done twice"
    (export,) = http.get(f"{ready}/exports").json()["items"]
    assert export == {
        "format": "coco",
        "split": None,
        "split_seed": 0,
        "state": "queued",
        "job": job["id"],
        "bytes": None,
        "sha256": None,
        "url": None,
    }
    assert "exports" in problem(http.get(f"{ready}/archive?format=coco"), 409, "not_ready")["detail"]
    finish_export(db, objects, job)
    assert http.post(f"{ready}/exports", json={"format": "coco"}).status_code == 200
    (export,) = http.get(f"{ready}/exports").json()["items"]
    assert (export["bytes"], export["sha256"]) == (len(ZIP), sha256(ZIP).hexdigest())
    whole = http.get(export["url"])
    assert whole.content == ZIP
    assert whole.headers["content-type"] == "application/zip"
    assert whole.headers["content-disposition"].endswith('-coco.zip"')
    assert whole.headers["x-content-sha256"] == export["sha256"]
    part = http.get(export["url"], headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, ZIP[100:])


def test_an_export_is_not_in_the_native_archive(
    http: TestClient, ready: str, db: Database, objects: ObjectStore
) -> None:
    before = http.get(f"{ready}/archive").content
    finish_export(db, objects, http.post(f"{ready}/exports", json={"format": "yolo"}).json())
    assert http.get(f"{ready}/archive").content == before


def test_formats_do_not_wait_for_each_other(http: TestClient, ready: str) -> None:
    made = {http.post(f"{ready}/exports", json={"format": one}).json()["id"] for one in ("coco", "voc", "hf")}
    assert len(made) == 3
    assert [one["format"] for one in http.get(f"{ready}/exports").json()["items"]] == ["coco", "hf", "voc"]
    assert len(http.get("/v1/jobs?kind=export").json()["items"]) == 3


def test_each_split_is_an_export_of_its_own(http: TestClient, ready: str, db: Database, objects: ObjectStore) -> None:
    plain = http.post(f"{ready}/exports", json={"format": "yolo"}).json()
    wanted = {"format": "yolo", "split": 0.25, "split_seed": 7}
    job = http.post(f"{ready}/exports", json=wanted).json()
    assert job["id"] != plain["id"]
    assert http.post(f"{ready}/exports", json=wanted).json()["id"] == job["id"]
    name = "exports/yolo-split-0.25-7.zip"
    keep(db, objects, job["result"]["dataset"], name, ZIP, "application/zip")
    with db.write() as connection:
        end_job(connection, job["id"], "succeeded")
    shown = [(one["split"], one["split_seed"], one["state"]) for one in http.get(f"{ready}/exports").json()["items"]]
    assert shown == [(0.25, 7, "succeeded"), (None, 0, "queued")]
    url = http.get(f"{ready}/exports").json()["items"][0]["url"]
    assert url.endswith("/archive?format=yolo&split=0.25&split_seed=7")
    assert http.get(url).content == ZIP
    problem(http.get(f"{ready}/archive?format=yolo"), 409, "not_ready")


def test_a_failed_export_may_be_asked_for_again(http: TestClient, ready: str, db: Database) -> None:
    first = http.post(f"{ready}/exports", json={"format": "coco"}).json()
    with db.write() as connection:
        end_job(connection, first["id"], "failed", error_code="bad_shard", error_detail="x", error_retryable=False)
    second = http.post(f"{ready}/exports", json={"format": "coco"}).json()
    assert second["id"] != first["id"]
    (export,) = http.get(f"{ready}/exports").json()["items"]
    assert (export["job"], export["state"]) == (second["id"], "queued")


def test_a_key_gives_the_first_answer_again(http: TestClient, ready: str) -> None:
    headers = {"Idempotency-Key": "once"}
    first = http.post(f"{ready}/exports", json={"format": "coco"}, headers=headers)
    again = http.post(f"{ready}/exports", json={"format": "coco"}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    problem(http.post(f"{ready}/exports", json={"format": "voc"}, headers=headers), 422, "idempotency_key_reused")


def test_what_is_refused(http: TestClient, ready: str, start: Start) -> None:
    problem(http.post(f"{ready}/exports", json={"format": "zip"}), 422, "invalid_request")
    problem(http.post(f"{ready}/exports", json={"format": "webdataset"}), 422, "invalid_request")
    problem(http.post(f"{ready}/exports", json={}), 422, "invalid_request")
    problem(http.post(f"{ready}/exports", json={"format": "yolo", "split": 1.5}), 422, "invalid_request")
    problem(http.post(f"{ready}/exports", json={"format": "coco", "folder": "x"}), 422, "invalid_request")
    problem(http.post("/v1/datasets/ds_none/exports", json={"format": "coco"}), 404, "not_found")
    problem(http.get("/v1/datasets/ds_none/exports"), 404, "not_found")
    unfinished = start()["urls"]["result"]
    problem(http.post(f"{unfinished}/exports", json={"format": "coco"}), 409, "not_ready")
    problem(http.get(f"{unfinished}/archive?format=coco"), 409, "not_ready")
