"""The real application over real SQLite, in this process."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from store.settings import Settings
from tests.data_folder import archive, db, fresh_database, generators, objects, settings

__all__ = ["archive", "db", "fresh_database", "generators", "objects", "settings"]


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log lines without colours, and tracebacks without the locals of every frame, which take seconds to draw."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:8321", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def upload(http: TestClient, archive: bytes) -> str:
    """The id of a complete upload."""
    answer = http.post("/v1/uploads", content=archive, headers={"Content-Type": "application/zip"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def held_out(http: TestClient, archive: bytes) -> str:
    """The id of a complete upload of other bytes."""
    other = io.BytesIO(archive)
    with zipfile.ZipFile(other, "a") as packed:
        packed.comment = b"held out"
    answer = http.post("/v1/uploads", content=other.getvalue(), headers={"Content-Type": "application/zip"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def wish(upload: str) -> dict[str, Any]:
    """A request that is accepted."""
    return {"kind": "generate", "labels": upload, "generator": "tiny", "count": 20, "seed": 1}


@pytest.fixture
def start(http: TestClient, wish: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """Start a job; its document."""

    def start(**changes: Any) -> dict[str, Any]:
        answer = http.post("/v1/jobs", json=wish | changes)
        assert answer.status_code == 202, answer.text
        document: dict[str, Any] = answer.json()
        return document

    return start
