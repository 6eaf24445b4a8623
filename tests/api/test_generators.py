"""Generators over HTTP: a checkpoint goes in as an upload, comes out as a generator, is looked at and deleted."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import pytest
from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from store.resources.files import File, add_files
from store.resources.generators import IMPORTED, PREVIEW, NewGenerator, add_generator
from store.resources.image_sets import NewImageSet, add_image_set
from store.resources.quality_reports import report_file
from tests.api.protocol.test_errors import problem
from tests.api.worlds import PICTURE, end_job, keep

TENANT = "local"
BINARY = {"Content-Type": "application/octet-stream"}
PICKLE = pickle.dumps({"G_ema": None}, 4)


@pytest.fixture
def checkpoint(http: TestClient) -> str:
    """The id of an uploaded checkpoint."""
    answer = http.post("/v1/uploads?filename=network.pkl", content=PICKLE, headers=BINARY)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def imported(db: Database, objects: ObjectStore) -> str:
    """A generator as the import job leaves it."""
    info = {"config": {}, "info": {"domain": "noise", "classes": ["a"]}, IMPORTED: {"format": "rosinality"}}
    stored = objects.put("test/preview.png", PICTURE)
    with db.write() as connection:
        add_generator(connection, TENANT, NewGenerator("gen_1", "foreign", "d" * 64, 64, 32, "CC0-1.0", info))
        add_files(connection, TENANT, [File("gen_1", PREVIEW, stored.key, stored.bytes, stored.sha256, "image/png")])
    return "gen_1"


def test_an_import_is_a_job(http: TestClient, checkpoint: str) -> None:
    wish = {"source": checkpoint, "name": "cats", "licence": "CC0-1.0"}
    answer = http.post("/v1/generators", json=wish, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == job["urls"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["state"], [step["name"] for step in job["steps"]]) == (
        "import_generator",
        "queued",
        ["import_generator"],
    )
    assert job["request"]["source"] == checkpoint
    again = http.post("/v1/generators", json=wish, headers={"Idempotency-Key": "once"})
    assert again.json() == job
    assert again.headers["idempotent-replayed"] == "true"
    assert http.get("/v1/jobs?kind=import_generator").json()["items"][0]["id"] == job["id"]


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"name": "Cats & Dogs"}, ["#/name"]),
        ({"name": "gen_1"}, ["#/name"]),
        ({"source": "nobody-knows", "name": "tiny"}, ["#/name", "#/source"]),
        ({"source": "https://169.254.169.254/latest"}, ["#/source"]),
        ({"answers": {"conv_clamp": -1, "architecture": "skip"}}, ["#/answers/conv_clamp", "#/answers/architecture"]),
        ({"format": "rosinality"}, ["#/format"]),
    ],
)
def test_a_bad_wish_names_its_fields(
    http: TestClient, checkpoint: str, changes: dict[str, Any], pointers: list[str]
) -> None:
    answer = http.post("/v1/generators", json={"source": checkpoint, "name": "cats"} | changes)
    document = problem(answer, 422, "invalid_request")
    assert [entry["pointer"] for entry in document["errors"]] == pointers


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        (PICKLE, True),
        (struct.pack("<Q", 2) + b"{}", True),
        (b"\x80\x63nothing of the kind", False),
        (struct.pack("<Q", 1 << 60) + b"{}", False),
        (b"#!/bin/sh\nexit 1\n", False),
    ],
)
def test_what_an_upload_may_begin_like(http: TestClient, content: bytes, accepted: bool) -> None:
    answer = http.post("/v1/uploads?filename=g.bin", content=content, headers=BINARY)
    assert answer.status_code == (201 if accepted else 415), answer.text


def test_an_imported_generator_shows_where_it_came_from(http: TestClient, imported: str) -> None:
    document = http.get("/v1/generators/foreign").json()
    assert (document["id"], document["width"], document["licence"]) == (imported, 32, "CC0-1.0")
    assert document["report"] == {"format": "rosinality"}
    assert IMPORTED not in document["info"]
    picture = http.get(document["preview"])
    assert (picture.headers["content-type"], picture.content) == ("image/png", PICTURE)
    builtin = http.get("/v1/generators/tiny").json()
    assert (builtin["preview"], builtin["report"]) == (None, None)
    problem(http.get("/v1/generators/tiny/preview"), 404, "not_found")


def test_deleting(http: TestClient, imported: str, upload: str) -> None:
    wish = {"kind": "generate", "labels": upload, "generator": "foreign", "count": 2}
    job = http.post("/v1/jobs", json=wish).json()
    assert job["id"] in problem(http.delete("/v1/generators/foreign"), 409, "in_use")["detail"]
    http.post(f"/v1/jobs/{job['id']}/cancel")
    assert http.delete("/v1/generators/foreign").status_code == 204
    problem(http.get(f"/v1/generators/{imported}"), 404, "not_found")
    problem(http.delete("/v1/generators/foreign"), 404, "not_found")
    problem(http.delete("/v1/generators/tiny"), 409, "built_in")


def test_the_catalogue(http: TestClient) -> None:
    entries = {entry["name"]: entry for entry in http.get("/v1/catalogue").json()["items"]}
    assert entries["ada-afhqcat"]["licence"]
    assert not entries["ada-afhqcat"]["verified"]


def test_a_quality_report_is_asked_for_and_fetched(
    http: TestClient, db: Database, objects: ObjectStore, imported: str
) -> None:
    with db.write() as connection:
        info = {"channels": 3, "classes": {}, "held_out": 200, "fit": "crop", "flips": True}
        add_image_set(connection, TENANT, NewImageSet("ims_1", "photos", "d" * 64, 4000, 64, 32, "", info))
    path = f"/v1/generators/{imported}"
    assert http.get(path).json()["quality"] is None
    problem(http.get(f"{path}/report"), 409, "not_ready")
    answer = http.post(f"{path}/reports", json={"images": "photos", "count": 100, "features": ["pixels"]})
    job = answer.json()
    assert (answer.status_code, job["kind"], job["request"]["count"]) == (202, "assess_generator", 100), job
    for name, content, media_type in (
        ("report.json", b'{"memorised": false}', "application/json"),
        ("report.html", b"<!doctype html>", "text/html; charset=utf-8"),
        ("report.png", PICTURE, "image/png"),
    ):
        keep(db, objects, imported, report_file(job["id"], name), content, media_type)
    with db.write() as connection:
        end_job(connection, job["id"], "succeeded")
    quality = http.get(path).json()["quality"]
    assert [one["quality"] for one in http.get("/v1/generators").json()["items"] if one["id"] == imported] == [quality]
    assert http.get(quality).text == "<!doctype html>"
    assert http.get(f"{quality}.json").json() == {"memorised": False}
    assert http.get(f"{quality}.png").content == PICTURE
    assert quality in http.get(f"/jobs/{job['id']}").text


def test_an_assessment_that_cannot_be_is_refused_with_all_problems(http: TestClient, imported: str) -> None:
    wrong = {"images": "none", "count": 3, "features": ["eyes"], "resize": "nearest", "class_balance": "even"}
    found = problem(http.post(f"/v1/generators/{imported}/reports", json=wrong), 422, "invalid_request")
    assert {one["pointer"] for one in found["errors"]} == {
        "#/count", "#/features/0", "#/resize", "#/class_balance",
    }  # fmt: skip
    found = problem(
        http.post("/v1/generators/nothing/reports", json={"images": "none", "sampling": {"psi": 2}}), 422,
        "invalid_request",
    )  # fmt: skip
    assert {one["pointer"] for one in found["errors"]} == {"#/generator", "#/images"}
