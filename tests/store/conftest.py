"""A database of each sort for every test that asks for `db`, copied from one that was migrated once."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database.database import open_database
from store.settings import DatabaseSettings, Settings, WorkerSettings
from tests.opened import db, objects
from tests.servers import PostgresServer

__all__ = ["db", "objects"]


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated SQLite file."""
    settings = Settings(home=tmp_path_factory.mktemp("migrated"), generators_folder="/none")
    open_database(settings).close()
    return settings.home / "offhand.sqlite3"


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """Name of an empty, migrated PostgreSQL database."""
    name = f"template_{uuid.uuid4().hex}"
    postgres_server.execute(f'CREATE DATABASE "{name}"')
    database = DatabaseSettings(url=postgres_server.database_url(name))
    open_database(Settings(generators_folder="/none", database=database)).close()
    return name


@pytest.fixture
def migrated_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """URL of an empty, migrated PostgreSQL database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{migrated_template}"')
    yield postgres_server.database_url(name)
    postgres_server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a service whose database has no tables yet."""
    return _settings(tmp_path, "" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a service of the test's own, on SQLite and on PostgreSQL."""
    if request.param == "postgresql":
        return _settings(tmp_path, request.getfixturevalue("migrated_url"))
    shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "offhand.sqlite3")
    return _settings(tmp_path, "")


def _settings(home: Path, url: str) -> Settings:
    return Settings(
        home=home,
        generators_folder=str(home / "generators"),
        database=DatabaseSettings(url=url, pool_size=16),
        worker=WorkerSettings(backoff_seconds=0.0),
    )
