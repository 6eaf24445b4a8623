"""The command and the SDK against the real service in a process of its own."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from offhand.cli import app
from offhand.sdk.client import Client
from store.database.database import Database
from store.objects import ObjectStore
from store.settings import Settings
from tests.api.worlds import finish_dataset
from tests.data_folder import archive, db, fresh_database, generators, objects
from tests.serving import ApiProcess

__all__ = ["archive", "db", "fresh_database", "generators", "objects"]


Run = Callable[..., Result]


class Worker(threading.Thread):
    """End every job that is waiting, as a worker would."""

    def __init__(self, server: ApiProcess, end: Callable[[dict[str, Any]], object]) -> None:
        super().__init__()
        self.url, self.end, self.stopping = server.url, end, threading.Event()

    def run(self) -> None:
        with Client(self.url) as client:
            while not self.stopping.is_set():
                for job in client.jobs.list(state="queued"):
                    self.end(job)
                time.sleep(0.05)

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self.join()


@pytest.fixture
def finishing(server: ApiProcess, db: Database, objects: ObjectStore) -> Worker:
    """Finish the jobs that make datasets; those of other kinds are left in the queue."""

    def finish(job: dict[str, Any]) -> None:
        if "dataset" in job["result"]:
            finish_dataset(db, objects, job)

    return Worker(server, finish)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, generators: Path, fresh_database: Path) -> Settings:
    """One data folder for all tests here, as they share the server."""
    home = tmp_path_factory.mktemp("served")
    shutil.copyfile(fresh_database, home / "offhand.sqlite3")
    return Settings(home=home, generators_folder=str(generators))


@pytest.fixture(scope="session")
def running(settings: Settings, generators: Path) -> Iterator[ApiProcess]:
    with ApiProcess(settings.home, generators) as process:
        yield process


@pytest.fixture
def server(running: ApiProcess) -> ApiProcess:
    """The server, started again where the test before has ended it."""
    if running.process is None:
        running.start()
    return running


@pytest.fixture
def client(server: ApiProcess) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture
def labels(archive: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "heads50.zip"
    path.write_bytes(archive)
    return path


@pytest.fixture
def run(server: ApiProcess, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `offhand` with these words against the server."""
    monkeypatch.chdir(repository)

    def run(*words: str, url: str = server.url) -> Result:
        return CliRunner().invoke(app, list(words), env={"OFFHAND_URL": url})

    return run
