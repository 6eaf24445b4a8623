"""What every request that starts a job may say beside its body: look first, or wait for the end."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from tests.api.protocol.test_errors import problem
from tests.api.worlds import add_labeler, end_job, finish_dataset

KINDS = (
    "encoders",
    "evaluations",
    "exports",
    "generators",
    "image-sets",
    "previews",
    "labelers",
    "reports",
    "sample-sets",
)


@pytest.fixture
def wishes(
    http: TestClient, db: Database, objects: ObjectStore, upload: str, held_out: str
) -> dict[str, tuple[str, dict[str, Any]]]:
    """For each kind a path and a body that is accepted there."""
    labeler = add_labeler(db, objects, http.get("/v1/generators/tiny").json()["id"])
    job = http.post("/v1/jobs", json={"labels": upload, "generator": "tiny", "count": 20}).json()
    finish_dataset(db, objects, job)
    dataset = job["result"]["dataset"]
    return {
        "encoders": ("/v1/encoders", {"generator": "tiny", "train_on": "samples"}),
        "evaluations": ("/v1/evaluations", {"dataset": dataset, "labels": held_out}),
        "exports": (f"/v1/datasets/{dataset}/exports", {"format": "coco"}),
        "generators": ("/v1/generators", {"source": upload, "name": "cats"}),
        "image-sets": ("/v1/image-sets", {"source": upload, "name": "photos", "height": 16, "width": 16}),
        "previews": ("/v1/image-sets/previews", {"source": upload, "height": 16, "width": 16}),
        "labelers": ("/v1/labelers", {"labels": upload, "generator": "tiny"}),
        "reports": (f"/v1/labelers/{labeler}/reports", {"folds": 3}),
        "sample-sets": ("/v1/sample-sets", {"generator": "tiny", "count": 5}),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_one_may_look_before_one_starts(
    http: TestClient, wishes: dict[str, tuple[str, dict[str, Any]]], kind: str
) -> None:
    path, body = wishes[kind]
    before = len(http.get("/v1/jobs").json()["items"])
    answer = http.post(path, json=body, params={"validate_only": True}, headers={"Idempotency-Key": "look"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "valid": True, "count": None, "candidates": None, "bytes": None, "queued_jobs": 0,
        "seconds": 270.0 if kind == "reports" else None, "rough": kind == "reports",
        "labels_checked": False if "labels" in body else None,
    }  # fmt: skip
    assert len(http.get("/v1/jobs").json()["items"]) == before
    answer = http.post(path, json=body, headers={"Idempotency-Key": "look"})
    assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (202, False), "nothing had started"


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("/v1/encoders", {"generator": "none", "train_on": "samples"}, ["#/generator"]),
        ("/v1/evaluations", {"dataset": "ds_none", "labels": "upl_none"}, ["#/dataset", "#/labels"]),
        ("/v1/generators", {"source": "upl_none", "name": "tiny"}, ["#/name", "#/source"]),
        ("/v1/image-sets", {"source": "upl_none", "name": "a", "height": 4}, ["#/height", "#/width"]),
        ("/v1/labelers", {"labels": "upl_none", "generator": "none"}, ["#/generator", "#/labels"]),
        ("/v1/sample-sets", {"generator": "none", "count": 0}, ["#/count", "#/generator"]),
        ("/v1/encoders", {"generator": "none", "train_on": "samples", "odd": 1}, ["#/generator", "#/odd"]),
    ],
)
def test_looking_finds_every_problem(http: TestClient, path: str, body: dict[str, Any], pointers: list[str]) -> None:
    document = problem(http.post(path, json=body, params={"validate_only": True}), 422, "invalid_request")
    assert sorted(error["pointer"] for error in document["errors"]) == pointers


@pytest.mark.parametrize("kind", KINDS)
def test_one_may_wait_a_while_for_the_end(
    http: TestClient, wishes: dict[str, tuple[str, dict[str, Any]]], kind: str
) -> None:
    path, body = wishes[kind]
    started = time.monotonic()
    answer = http.post(path, json=body, headers={"Prefer": "wait=1"})
    assert 0.7 < time.monotonic() - started < 10
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert answer.headers["Location"].startswith("/v1/")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_job_may_be_waited_for(http: TestClient, db: Database, wish: dict[str, Any]) -> None:
    job = http.post("/v1/jobs", json=wish).json()

    def end() -> None:
        with db.write() as connection:
            end_job(connection, job["id"], "succeeded")

    ending = threading.Timer(0.5, end)
    ending.start()
    answer = http.get(job["urls"]["self"], headers={"Prefer": "wait=30"})
    ending.join()
    assert answer.json()["state"] == "succeeded"
    assert answer.headers["Preference-Applied"] == "wait=30"
    assert "Retry-After" not in answer.headers
    again = http.get(job["urls"]["self"], headers={"Prefer": "wait=30", "If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    problem(http.get("/v1/jobs/job_none", headers={"Prefer": "wait=30"}), 404, "not_found")
