"""HEAD wherever GET is: the same status and headers, and no content."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from tests.api.worlds import finish_dataset

#: Headers that differ from answer to answer.
OF_THE_MOMENT = {"x-request-id", "date"}


@pytest.fixture
def ids(http: TestClient, start: Any, db: Database, objects: ObjectStore) -> dict[str, str]:
    """What the service has, for the places in paths."""
    job = start()
    finish_dataset(db, objects, job)
    return {"job_id": job["id"], "dataset_id": job["result"]["dataset"], "upload_id": job["request"]["labels"]}


def test_head_is_answered_as_get_on_every_route(http: TestClient, app: FastAPI, ids: dict[str, str]) -> None:
    paths = [path for path, operations in app.openapi()["paths"].items() if "get" in operations]
    found = set()
    for path in (*paths, "/", "/jobs/{job_id}", "/static/icon.svg", "/nowhere"):
        url = re.sub(r"{(\w+)}", lambda name: ids.get(name[1], "000000.tar"), path)
        got, head = http.get(url), http.head(url)
        assert head.status_code == got.status_code, url
        # A problem holds its request id, and metrics count the request before.
        unlike = {"content-length"} if got.is_error or path == "/metrics" else set()
        assert kept(head, unlike) == kept(got, unlike), url
        assert head.content == b""
        found.add(got.status_code)
    assert {200, 404} <= found


def kept(answer: Any, unlike: set[str]) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_THE_MOMENT | unlike}


def test_head_of_a_stream_ends(http: TestClient, start: Any) -> None:
    url = f"/v1/jobs/{start()['id']}/events"
    answer = http.head(url, headers={"Accept": "text/event-stream"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("path", ["/healthz", "/", "/v1/jobs", "/nowhere"])
def test_no_content_is_sent_for_head(app: FastAPI, path: str) -> None:
    sent: list[Any] = []

    async def ask() -> None:
        scope = {"type": "http", "method": "HEAD", "path": path, "raw_path": path.encode(), "query_string": b""}
        headers = [(b"host", b"127.0.0.1")]

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope | {"headers": headers, "http_version": "1.1", "scheme": "http"}, receive, send)

    anyio.run(ask)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1]["body"] == b""
