"""Ready means: database and objects can be written, and a worker is there."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import update
from starlette.testclient import TestClient

from store import tables
from store.database.database import Database
from store.settings import Settings
from store.workers import worker_alive, worker_gone
from tests.api.protocol.test_errors import problem


def test_health_needs_nothing(http: TestClient) -> None:
    assert http.get("/healthz").json() == {"service": "offhand", "status": "ok"}


def test_ready_once_a_worker_was_heard(http: TestClient, db: Database) -> None:
    document = problem(http.get("/readyz"), 503, "not_serving")
    assert [e["pointer"] for e in document["errors"]] == ["worker"]
    worker_alive(db, "here")
    worker_alive(db, "here")
    assert http.get("/readyz").json() == {"service": "offhand", "status": "ready", "workers": 1}
    with db.write() as connection:
        connection.execute(update(tables.workers).values(seen_at=tables.workers.c.seen_at - 3600))
    problem(http.get("/readyz"), 503, "not_serving")
    worker_alive(db, "here")
    worker_gone(db, "here")
    problem(http.get("/readyz"), 503, "not_serving")


def test_objects_that_cannot_be_written_are_not_ready(http: TestClient, db: Database, settings: Settings) -> None:
    worker_alive(db, "here")
    assert http.get("/readyz").status_code == 200
    shutil.rmtree(settings.objects_folder)
    Path(settings.objects_folder).write_text("a file where the folder should be")
    document = problem(http.get("/readyz"), 503, "not_serving")
    assert [e["pointer"] for e in document["errors"]] == ["objects"]
