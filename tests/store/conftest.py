"""A database of each sort for every test that asks for `db`, and ways to make work in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.db import Database, open_database
from store.objects import ObjectStore, open_objects
from store.settings import DatabaseSettings, Settings, WorkerSettings


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a service of the test's own, on SQLite and on PostgreSQL."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return Settings(
        home=tmp_path,
        generators_folder=str(tmp_path / "generators"),
        database=DatabaseSettings(url=url),
        worker=WorkerSettings(backoff_seconds=0.0),
    )


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """An open, empty database."""
    database = open_database(settings)
    yield database
    database.close()


@pytest.fixture
def objects(settings: Settings) -> ObjectStore:
    """The object store that goes with `db`."""
    return open_objects(settings)
