"""Archives on their way in: kept when every byte is right, else nothing is kept."""

from __future__ import annotations

import io
import tarfile
import zipfile
from hashlib import sha256
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.files import get_file
from store.settings import Settings
from tests.api.protocol.test_errors import problem

ZIP = {"Content-Type": "application/zip"}


def announced(content: bytes, **changes: Any) -> dict[str, Any]:
    document = {"filename": "heads.zip", "size": len(content), "sha256": sha256(content).hexdigest()}
    return document | changes


def kept_files(settings: Settings) -> list[str]:
    return [path.name for path in settings.objects_folder.rglob("*") if path.is_file()]


def test_an_archive_in_one_request(http: TestClient, archive: bytes, db: Database, objects: ObjectStore) -> None:
    answer = http.post("/v1/uploads?filename=heads50.zip", content=archive, headers=ZIP)
    assert answer.status_code == 201
    document = answer.json()
    assert answer.headers["location"] == document["urls"]["self"]
    assert document["state"] == "complete"
    assert document["filename"] == "heads50.zip"
    assert document["sha256"] == sha256(archive).hexdigest()
    assert http.get(document["urls"]["self"]).json() == document
    with objects.open(get_file(db, document["id"], "content", tenant="local").key) as file:
        assert file.read() == archive


def test_an_archive_announced_and_then_sent(http: TestClient, archive: bytes) -> None:
    announcement = http.post("/v1/uploads", json=announced(archive))
    assert announcement.status_code == 201
    pending = announcement.json()
    assert pending["state"] == "pending"
    complete = http.put(pending["urls"]["content"], content=archive, headers=ZIP)
    assert complete.status_code == 200
    assert complete.json()["state"] == "complete"
    problem(http.put(pending["urls"]["content"], content=archive, headers=ZIP), 409, "not_ready")


def test_tar_is_an_archive_too(http: TestClient) -> None:
    for mode in ("w", "w:gz"):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as tar:
            tar.addfile(tarfile.TarInfo("classes.json"))
        headers = {"Content-Type": "application/octet-stream"}
        assert http.post("/v1/uploads", content=out.getvalue(), headers=headers).status_code == 201


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"GIF89a" + bytes(300), "application/zip", 415, "unsupported_media_type"),
        (b"", "application/zip", 415, "unsupported_media_type"),
        (b"PK", "application/zip", 415, "unsupported_media_type"),
        (b"<html>", "text/html", 415, "unsupported_media_type"),
        (b"PK\x03\x04" + bytes(300), "application/zip", 422, "broken_archive"),
        (b"PK\x05\x06" + bytes(18), "application/zip", 422, "broken_archive"),
    ],
)
def test_what_is_no_archive_is_refused(
    http: TestClient, settings: Settings, content: bytes, media_type: str, status: int, code: str
) -> None:
    problem(http.post("/v1/uploads", content=content, headers={"Content-Type": media_type}), status, code)
    assert kept_files(settings) == []
    assert http.get("/v1/uploads").json()["items"] == []


def test_a_body_without_a_type_is_refused(http: TestClient) -> None:
    problem(http.post("/v1/uploads", content=b"PK\x03\x04"), 415, "unsupported_media_type")


def test_a_zip_that_is_cut_off_names_itself(http: TestClient, archive: bytes, settings: Settings) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as zipped:
        zipped.writestr("images/a.png", bytes(5000))
    for cut in (whole.getvalue()[:-10], whole.getvalue()[:3000], whole.getvalue()[:100] + whole.getvalue()[4000:]):
        answer = http.post("/v1/uploads?filename=heads.zip", content=cut, headers=ZIP)
        document = problem(answer, 422, "broken_archive")
        assert document["errors"][0]["pointer"] == "heads.zip"
    assert kept_files(settings) == []


def test_a_digest_that_differs_is_refused_and_can_be_mended(
    http: TestClient, archive: bytes, settings: Settings
) -> None:
    problem(http.post(f"/v1/uploads?sha256={'0' * 64}", content=archive, headers=ZIP), 422, "digest_mismatch")
    pending = http.post("/v1/uploads", json=announced(archive)).json()
    other = archive[:-1] + bytes([archive[-1] ^ 1])
    problem(http.put(pending["urls"]["content"], content=other, headers=ZIP), 422, "digest_mismatch")
    problem(http.put(pending["urls"]["content"], content=archive[:-1], headers=ZIP), 422, "digest_mismatch")
    assert kept_files(settings) == []
    assert http.put(pending["urls"]["content"], content=archive, headers=ZIP).status_code == 200


def test_more_than_announced_is_refused(http: TestClient, archive: bytes, settings: Settings) -> None:
    pending = http.post("/v1/uploads", json=announced(archive)).json()
    problem(http.put(pending["urls"]["content"], content=archive + b"x", headers=ZIP), 413, "too_large")
    streamed = iter([archive, b"x"])
    problem(http.put(pending["urls"]["content"], content=streamed, headers=ZIP), 413, "too_large")
    assert kept_files(settings) == []


@pytest.fixture
def small(settings: Settings) -> FastAPI:
    """A deployment that takes uploads of 1,000 bytes."""
    limits = settings.limits.model_copy(update={"upload_bytes": 1000})
    return create_app(settings.model_copy(update={"limits": limits}))


def test_more_than_the_limit_is_refused_while_it_streams(small: FastAPI, settings: Settings) -> None:
    sent = 0

    def body() -> Any:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"PK\x03\x04" + bytes(496)

    with TestClient(small, base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
        problem(http.post("/v1/uploads", content=b"PK\x03\x04" + bytes(2000), headers=ZIP), 413, "too_large")
        problem(http.post("/v1/uploads", content=body(), headers=ZIP), 413, "too_large")
        document = problem(http.post("/v1/uploads", json=announced(bytes(2000))), 422, "invalid_request")
    assert document["errors"][0]["pointer"] == "#/size"
    assert kept_files(settings) == []


def test_every_problem_of_an_announcement_is_told(http: TestClient) -> None:
    bad = {"filename": "../x", "size": 0, "sha256": "xyz", "surprise": 1}
    document = problem(http.post("/v1/uploads", json=bad), 422, "invalid_request")
    assert {e["pointer"] for e in document["errors"]} == {"#/filename", "#/size", "#/sha256", "#/surprise"}
    problem(http.post("/v1/uploads", content=b"{", headers={"Content-Type": "application/json"}), 400, "malformed_body")


def test_a_repeated_key_makes_one_upload(http: TestClient, archive: bytes, settings: Settings) -> None:
    for options in ({"json": announced(archive)}, {"content": archive, "headers": ZIP}):
        key = {"Idempotency-Key": f"key-{len(options)}"}
        options["headers"] = options.get("headers", {}) | key
        first, second = http.post("/v1/uploads", **options), http.post("/v1/uploads", **options)
        assert first.json() == second.json()
        assert "idempotent-replayed" not in first.headers
        assert second.headers["idempotent-replayed"] == "true"
    assert len(kept_files(settings)) == 1
    other = http.post(
        "/v1/uploads", json=announced(archive, filename="other.zip"), headers={"Idempotency-Key": "key-1"}
    )
    problem(other, 422, "idempotency_key_reused")


def test_lists_come_in_pages_and_uploads_can_be_forgotten(http: TestClient, archive: bytes, settings: Settings) -> None:
    ids = [http.post("/v1/uploads", content=archive, headers=ZIP).json()["id"] for _ in range(3)]
    first = http.get("/v1/uploads?page_size=2").json()
    rest = http.get("/v1/uploads", params={"page_size": 2, "page_token": first["next_page_token"]}).json()
    assert sorted(i["id"] for i in first["items"] + rest["items"]) == sorted(ids)
    assert rest["next_page_token"] is None
    assert http.delete(f"/v1/uploads/{ids[0]}").status_code == 204
    problem(http.get(f"/v1/uploads/{ids[0]}"), 404, "not_found")
    assert len(kept_files(settings)) == 2
