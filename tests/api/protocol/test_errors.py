"""One shape for every error, one table from code to HTTP, and no code that is missing from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from starlette.testclient import TestClient

import core.errors
import store.errors
from api.protocol.errors import HTTP, place_of
from api.protocol.problems import DESCRIPTIONS, MEDIA_TYPE
from store.settings import Settings


def every_class(root: type) -> Iterator[type]:
    yield root
    for child in root.__subclasses__():
        yield from every_class(child)


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("root", [store.errors.StoreError, core.errors.OffhandError])
def test_every_code_of_ours_is_mapped(root: type) -> None:
    unmapped = {c.__name__: c.code for c in every_class(root) if c.code not in HTTP}  # type: ignore[attr-defined]
    assert not unmapped


def test_every_status_is_described() -> None:
    assert {meaning.status for meaning in HTTP.values()} <= set(DESCRIPTIONS)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The answer's document, after checking what every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    document: dict[str, Any] = answer.json()
    assert document["code"] == code
    assert document["type"] == f"urn:offhand:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"]
    assert document["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return document


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("GET", "/v1/jobs/job_none", {}, 404, "not_found"),
        ("GET", "/v1/generators/none", {}, 404, "not_found"),
        ("GET", "/v1/datasets/ds_none", {}, 404, "not_found"),
        ("GET", "/v1/datasets/ds_none/archive", {}, 404, "not_found"),
        ("GET", "/v1/labelers/lab_none", {}, 404, "not_found"),
        ("GET", "/v1/label-sets/ls_none", {}, 404, "not_found"),
        ("GET", "/v1/uploads/upl_none", {}, 404, "not_found"),
        ("POST", "/v1/jobs/job_none/cancel", {}, 404, "not_found"),
        ("GET", "/v1/jobs/job_none/events", {}, 404, "not_found"),
        ("GET", "/v1/jobs/job_none/events", {"headers": {"Accept": "text/event-stream"}}, 404, "not_found"),
        ("DELETE", "/v1/jobs", {}, 405, "method_not_allowed"),
        ("PUT", "/healthz", {}, 405, "method_not_allowed"),
        ("POST", "/v1/jobs", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed_body"),
        ("POST", "/v1/jobs", {"content": b"x" * (1 << 21)}, 413, "too_large"),
        ("POST", "/v1/jobs", {"content": iter([b"x" * (1 << 20)] * 2), "headers": JSON}, 413, "too_large"),
        ("GET", "/v1/jobs?page_size=0", {}, 422, "invalid_request"),
        ("GET", "/v1/jobs?page_token=!!!", {}, 422, "invalid_request"),
        ("GET", "/v1/jobs?state=asleep", {}, 422, "invalid_request"),
        ("GET", "/v1/jobs?label=nothing", {}, 422, "invalid_request"),
        ("GET", "/v1/jobs", {"headers": {"Host": "evil.example"}}, 403, "foreign_origin"),
        ("POST", "/v1/jobs", {"headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "foreign_origin"),
    ],
)
def test_refusals(http: TestClient, method: str, path: str, options: Any, status: int, code: str) -> None:
    problem(http.request(method, path, **options), status, code)


def test_405_names_every_method_that_is_allowed(http: TestClient) -> None:
    assert http.put("/v1/uploads").headers["allow"] == "GET, HEAD, POST"
    assert http.post("/v1/datasets/ds_1/archive").headers["allow"] == "GET, HEAD"
    assert http.put("/v1/uploads/upl_1").headers["allow"] == "DELETE, GET, HEAD"
    assert http.delete("/").headers["allow"] == "GET, HEAD"


def test_deeply_nested_json_is_refused(http: TestClient) -> None:
    answer = http.post("/v1/jobs", content=b"[" * 200_000, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == MEDIA_TYPE


def test_a_fault_of_ours_says_nothing_but_the_request_id(app: FastAPI) -> None:
    @app.get("/fault")
    def fault() -> None:
        raise RuntimeError("a secret of the inside")

    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
        answer = http.get("/fault")
    problem(answer, 500, "internal_error")
    assert "secret" not in answer.text


def test_request_ids_are_taken_over_when_harmless(http: TestClient) -> None:
    assert http.get("/healthz", headers={"X-Request-Id": "ci-42"}).headers["x-request-id"] == "ci-42"
    assert http.get("/healthz", headers={"X-Request-Id": "a b\tc"}).headers["x-request-id"] != "a b\tc"


def test_security_headers_are_everywhere(http: TestClient) -> None:
    for path in ("/healthz", "/nowhere", "/v1/jobs"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_database_down_is_503_with_retry_after(settings: Settings) -> None:
    from api.app import create_app

    url = "postgresql+psycopg://nobody:nothing@127.0.0.1:1/none"
    pytest.importorskip("psycopg")
    lost = settings.model_copy(update={"database": settings.database.model_copy(update={"url": url})})
    with TestClient(create_app(lost), base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
        answer = http.get("/v1/jobs")
        problem(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert http.get("/healthz").status_code == 200
        assert problem(http.get("/readyz"), 503, "not_serving")["errors"][0]["pointer"] == "database"


def test_503_holds_no_driver_text_but_the_log_does(settings: Settings) -> None:
    from api.app import create_app

    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://nobody:nothing@127.0.0.1:1/none"
    nowhere = settings.objects.model_copy(
        update={"kind": "s3", "endpoint_url": "http://127.0.0.1:1", "access_key": "a", "secret_key": "b", "attempts": 1}
    )
    lost = settings.model_copy(
        update={"database": settings.database.model_copy(update={"url": url}), "objects": nowhere}
    )
    with (
        structlog.testing.capture_logs() as logged,
        TestClient(create_app(lost), base_url="http://127.0.0.1", raise_server_exceptions=False) as http,
    ):
        answers = [http.get("/v1/jobs"), http.get("/readyz")]
    for answer in answers:
        assert answer.status_code == 503
        told = answer.text.replace(answer.json()["instance"], "")
        assert not [word for word in ("127.0.0.1", "port", "refused", "Error", "nobody", "none") if word in told], told
    assert "127.0.0.1" in str(logged)
    assert "nothing" not in str(logged), "the password of the database"


def test_storage_down_is_503(settings: Settings, archive: bytes) -> None:
    from api.app import create_app

    blocked = Path(settings.home)
    (blocked / "objects").write_text("a file where the folder should be")
    with TestClient(create_app(settings), base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
        answer = http.post("/v1/uploads", content=archive, headers={"Content-Type": "application/zip"})
        problem(answer, 503, "store_unavailable")
        assert answer.headers["retry-after"]


def test_disk_full_is_507_and_nothing_is_kept(
    http: TestClient, archive: bytes, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("store.objects.local.os.fsync", full)
        answer = http.post("/v1/uploads", content=archive, headers={"Content-Type": "application/zip"})
    document = problem(answer, 507, "storage_full")
    assert answer.headers["retry-after"]
    assert "full" in document["title"]
    assert not [path for path in settings.objects_folder.rglob("*") if path.is_file()]
    assert http.get("/v1/uploads").json()["items"] == []


def test_pointers_of_the_store_become_those_of_the_document() -> None:
    assert place_of("/count", "POST") == "#/count"
    assert place_of("/page_token", "GET") == "query:page_token"
    assert place_of("masks/a.png", "POST") == "masks/a.png"
