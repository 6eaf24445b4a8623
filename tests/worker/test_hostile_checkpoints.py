"""Hostile checkpoints through the real worker, on each database: the service goes on."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from store.database.database import Database, open_database
from store.job_kinds.import_generator import ImportGeneratorSpec
from store.jobs.cancel import cancel_job
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.settings import Settings
from tests.core.checkpoints import crafted, writers
from tests.worker.conftest import quick_settings
from tests.worker.inline import TENANT, upload, view
from tests.worker.servicekit import wait_until
from worker.runtime.supervisor import Supervisor

#: Each ended workers, or broke the list of jobs, of an earlier version.
SURROGATE_NAME = b"\x80\x04" + b"X\x05\0\0\0\xed\xa0\x80os" + b"X\x06\0\0\0system" + b"\x93."
SURROGATE_KEY = b"\x80\x02}" + b"X\x06\0\0\0\xed\xa0\x80bad" + b"Ns."


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    return quick_settings(tmp_path / "home", url)


@pytest.fixture
def working(settings: Settings, temporary: Path) -> Iterator[tuple[Database, ObjectStore]]:
    """A worker of the real steps that runs beside the test."""
    db, objects = open_database(settings), open_objects(settings)
    supervisor = Supervisor(settings, db, objects)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    yield db, objects
    assert thread.is_alive(), "the worker ended"
    supervisor.stop()
    thread.join(30)
    db.close()


def started(db: Database, objects: ObjectStore, path: Path, content: bytes, name: str) -> Job:
    path.write_bytes(content)
    return submit_request(db, ImportGeneratorSpec(source=upload(db, objects, path), name=name), tenant=TENANT).job


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_hostile_checkpoints_leave_the_service_running(
    working: tuple[Database, ObjectStore], settings: Settings, temporary: Path, tmp_path: Path, shared: bool
) -> None:
    """``shared``: with the checkpoint of modules that share modules, which is read until its budget ends."""
    db, objects = working
    assert (len(SURROGATE_NAME), len(SURROGATE_KEY)) == (25, 17)
    contents = {"name": SURROGATE_NAME, "key": SURROGATE_KEY} | ({"shared": crafted.shared_modules()} if shared else {})
    jobs = {name: started(db, objects, tmp_path / "a.pkl", content, name) for name, content in contents.items()}
    for name, job in jobs.items():
        wait_until(lambda job=job: view(db, job).state == "failed")
        ended = view(db, job)
        assert ended.error is not None
        assert ended.error.code in ("unsafe_checkpoint", "bad_checkpoint"), (name, ended.error)
        assert (ended.attempts, ended.error.retryable) == (1, False), name
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8321") as http:
        answer = http.get("/v1/jobs")
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["items"]) == len(contents)
        assert all(http.get(f"/v1/jobs/{job.id}").status_code == 200 for job in jobs.values())

    job = started(
        db, objects, tmp_path / "sound.pkl", writers.nvidia_pickle(writers.nvidia_state(writers.trained())), "sound"
    )
    wait_until(lambda: bool(list(temporary.glob("offhand-child-*/reading"))))
    cancel_job(db, job.id, tenant=TENANT)
    begin = time.monotonic()
    wait_until(lambda: view(db, job).state == "canceled", 5)
    wait_until(lambda: not list(temporary.iterdir()), max(0.0, begin + 5 - time.monotonic()))
