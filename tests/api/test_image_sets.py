"""Image sets over HTTP: photographs go in as an upload; the set is listed, looked at, renamed and deleted."""

from __future__ import annotations

import io
import zipfile

import pytest
from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from store.resources.files import list_files
from tests.api.protocol.test_errors import problem
from tests.api.worlds import PICTURE, TENANT, add_photographs, keep

BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def photos(http: TestClient) -> str:
    """The id of uploaded photographs."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.png", PICTURE)
    answer = http.post("/v1/uploads?filename=photos.zip", content=content.getvalue(), headers=BINARY)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_adding_images_is_a_job(http: TestClient, photos: str) -> None:
    request = {"source": photos, "name": "photos", "height": 64, "width": 96, "fit": "pad"}
    answer = http.post("/v1/image-sets", json=request)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["kind"], [step["title"] for step in job["steps"]]) == ("add_images", ["packing images"])
    assert (job["request"]["flips"], job["request"]["fit"]) == (None, "pad")
    refused = problem(http.post("/v1/image-sets", json=request), 422, "invalid_request")
    assert [error["pointer"] for error in refused["errors"]] == ["#/name"]
    problem(http.delete(f"/v1/uploads/{photos}"), 409, "in_use")


@pytest.mark.parametrize(
    ("field", "value"),
    [("height", 7), ("width", 1025), ("fit", "cut"), ("name", "A b"), ("imbalance", 1), ("classes", "all")],
)
def test_a_wrong_field_is_named(http: TestClient, photos: str, field: str, value: object) -> None:
    request = {"source": photos, "name": "photos", "height": 64, "width": 64} | {field: value}
    refused = problem(http.post("/v1/image-sets", json=request), 422, "invalid_request")
    assert [error["pointer"] for error in refused["errors"]] == [f"#/{field}"]


def test_a_parquet_file_is_taken_as_an_upload(http: TestClient) -> None:
    content = b"PAR1" + bytes(100) + b"PAR1"
    answer = http.post("/v1/uploads?filename=train.parquet", content=content, headers=BINARY)
    assert answer.status_code == 201, answer.text


def test_an_image_set_is_listed_and_shown_by_name_and_id(http: TestClient, db: Database, objects: ObjectStore) -> None:
    made = add_photographs(db, objects)
    document = http.get("/v1/image-sets/photos").json()
    assert document == http.get(f"/v1/image-sets/{made}").json()
    assert http.get("/v1/image-sets").json()["items"] == [document]
    assert (document["images"], document["height"], document["width"], document["channels"]) == (700, 16, 24, 3)
    assert (document["classes"], document["held_out"], document["licence"]) == (
        {"cat": 300, "dog": 400},
        200,
        "CC BY 4.0",
    )
    assert http.get(document["contact_sheet"]).content == PICTURE
    assert http.get(document["report"]).json()["unreadable"][0]["file"] == "a.png"
    problem(http.get("/v1/image-sets/none"), 404, "not_found")
    problem(http.get("/v1/image-sets/none/report"), 404, "not_found")


def test_an_image_set_is_renamed_and_deleted(http: TestClient, db: Database, objects: ObjectStore) -> None:
    made = add_photographs(db, objects)
    assert http.patch("/v1/image-sets/photos", json={"name": "chests"}).json()["name"] == "chests"
    problem(http.get("/v1/image-sets/photos"), 404, "not_found")
    problem(http.patch("/v1/image-sets/chests", json={"name": "A b"}), 422, "invalid_request")
    assert http.delete("/v1/image-sets/chests").status_code == 204
    problem(http.get(f"/v1/image-sets/{made}"), 404, "not_found")
    assert list_files(db, made, tenant=TENANT) == []


def test_a_preview_is_a_job_whose_picture_has_its_own_address(
    http: TestClient, photos: str, db: Database, objects: ObjectStore
) -> None:
    job = http.post("/v1/image-sets/previews", json={"source": photos, "height": 16, "width": 16}).json()
    assert job["urls"]["result"] == f"/v1/image-sets/previews/{job['id']}"
    problem(http.get(job["urls"]["result"]), 409, "not_ready")
    keep(db, objects, photos, f"previews/{job['id']}.png", PICTURE, "image/png")
    assert http.get(job["urls"]["result"]).content == PICTURE
    problem(http.get("/v1/image-sets/previews/job_none"), 404, "not_found")
