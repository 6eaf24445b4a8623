"""A data folder for tests of the programs around the store: a migrated database, one generator, an archive."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from store.database.database import open_database
from store.settings import Settings
from tests.opened import db, objects

__all__ = ["archive", "db", "fresh_database", "generators", "objects", "settings"]

GENERATOR = {
    "config": {"resolution": [64, 64], "w_dim": 256},
    "info": {"name": "tiny", "digest": "ab" * 32, "licence": "CC0-1.0", "domain": "heads"},
}


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
def archive() -> bytes:
    """A zip that is whole; what is inside does not matter to the API."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("classes.json", '["background", "head"]')
    return out.getvalue()
