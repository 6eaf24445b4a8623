"""Encoders over HTTP: asked for, listed, looked at; what cannot work is refused field by field."""

from __future__ import annotations

from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from tests.api.worlds import PICTURE, add_encoder


def test_training_is_a_job(http: TestClient, upload: str) -> None:
    wish = {"generator": "tiny", "train_on": "both", "labels": upload, "heads": "psp", "steps": 10}
    answer = http.post("/v1/encoders", json=wish, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], [step["name"] for step in job["steps"]]) == ("train_encoder", ["validate", "train_encoder"])
    assert job["request"] | wish == job["request"]
    again = http.post("/v1/encoders", json=wish, headers={"Idempotency-Key": "once"})
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["id"] == job["id"]
    assert [one["id"] for one in http.get("/v1/jobs?kind=train_encoder").json()["items"]] == [job["id"]]


def test_every_field_that_cannot_work_is_named(http: TestClient, upload: str) -> None:
    answer = http.post("/v1/encoders", json={"generator": "none", "train_on": "labels"})
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {"#/generator", "#/labels"}
    answer = http.post("/v1/encoders", json={"generator": "tiny", "labels": upload})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/labels"]
    answer = http.post("/v1/encoders", json={"generator": "tiny", "steps": 0, "heads": "w"})
    assert {error["pointer"] for error in answer.json()["errors"]} == {"#/steps", "#/heads"}
    job = {"labels": upload, "generator": "tiny", "count": 1, "inversion": {"encoder": "enc_none"}}
    answer = http.post("/v1/jobs", json=job)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/inversion/encoder"]


def test_an_encoder_is_shown_with_its_report_and_pictures(http: TestClient, db: Database, objects: ObjectStore) -> None:
    generator = http.get("/v1/generators/tiny").json()["id"]
    encoder = add_encoder(db, objects, generator)
    shown = http.get(f"/v1/encoders/{encoder}").json()
    assert (shown["generator"], shown["label_set"]) == (generator, None)
    assert shown["report"]["by_iteration"]["samples"][0]["iteration"] == 1
    (picture,) = shown["pictures"]
    assert http.get(picture["url"]).content == PICTURE
    assert http.get(f"/v1/encoders/{encoder}/pictures/encoder.safetensors").status_code == 404
    assert [one["id"] for one in http.get("/v1/encoders").json()["items"]] == [encoder]
    assert http.get("/v1/encoders/enc_other").status_code == 404
