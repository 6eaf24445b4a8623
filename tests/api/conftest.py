"""The real application over real SQLite, in this process."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from store.db import Database, open_database
from store.objects import ObjectStore, open_objects
from store.settings import Settings

TENANT = "local"
GENERATOR = {
    "config": {"resolution": [64, 64], "w_dim": 256},
    "info": {"name": "tiny", "digest": "ab" * 32, "licence": "CC0-1.0", "domain": "heads"},
}


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log lines without colours, and tracebacks without the locals of every frame, which take seconds to draw."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])


@pytest.fixture(scope="session")
def generators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one generator, as far as the API looks at it."""
    folder = tmp_path_factory.mktemp("generators")
    (folder / "tiny").mkdir()
    (folder / "tiny" / "generator.json").write_text(json.dumps(GENERATOR))
    return folder


@pytest.fixture(scope="session")
def fresh_database(generators: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of which tests take copies: migrating anew would be most of their time."""
    settings = Settings(home=tmp_path_factory.mktemp("fresh"), generators_folder=str(generators))
    open_database(settings).close()
    return settings.home / "offhand.sqlite3"


@pytest.fixture
def settings(tmp_path: Path, generators: Path, fresh_database: Path) -> Settings:
    """A data folder of the test's own, with one generator listed."""
    home = tmp_path / "data"
    home.mkdir()
    shutil.copyfile(fresh_database, home / "offhand.sqlite3")
    return Settings(home=home, generators_folder=str(generators))


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:8321", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """The same database, from the side of a worker."""
    database = open_database(settings)
    yield database
    database.close()


@pytest.fixture
def objects(settings: Settings) -> ObjectStore:
    return open_objects(settings)


@pytest.fixture
def archive() -> bytes:
    """A zip that is whole; what is inside does not matter to the API."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("classes.json", '["background", "head"]')
    return out.getvalue()


@pytest.fixture
def upload(http: TestClient, archive: bytes) -> str:
    """The id of a complete upload."""
    answer = http.post("/v1/uploads", content=archive, headers={"Content-Type": "application/zip"})
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
