"""The database and the object store that a test's `settings` name, as fixtures for whoever has such settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from store.database.database import Database, open_database
from store.objects import ObjectStore, open_objects
from store.settings import Settings


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    """The open database, closed after the test."""
    database = open_database(settings)
    yield database
    database.close()


@pytest.fixture
def objects(settings: Settings) -> ObjectStore:
    """The object store that goes with `db`."""
    return open_objects(settings)
