"""The client against the real service in a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from offhand.cli import app
from offhand.sdk.client import Client
from store.settings import Settings
from tests.data_folder import archive, db, fresh_database, generators, objects
from tests.serving import ApiProcess

__all__ = ["archive", "db", "fresh_database", "generators", "objects"]


Run = Callable[..., Result]


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
