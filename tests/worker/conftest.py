"""A service of each test's own, with leases short enough to watch them end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from store.settings import DatabaseSettings, Settings, WorkerSettings
from tests.opened import db, objects

if TYPE_CHECKING:
    from tests.worker.inline import Service

__all__ = ["db", "objects"]


@pytest.fixture(autouse=True)
def children_find_the_tests(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes import test steps by name."""
    monkeypatch.setenv("PYTHONPATH", str(repository))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """SQLite, and everything at a quick pace."""
    return quick_settings(tmp_path)


def quick_settings(home: Path, url: str = "") -> Settings:
    """Settings with short leases and no pauses."""
    return Settings(
        home=home,
        generators_folder=str(home / "generators"),
        database=DatabaseSettings(url=url),
        worker=WorkerSettings(
            lease_seconds=2.0,
            heartbeat_seconds=0.2,
            poll_seconds=0.05,
            reap_seconds=0.1,
            ring_again_seconds=1.0,
            drain_seconds=4.0,
            backoff_seconds=0.0,
        ),
    )


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes of the test; killed at its end."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny generator and labels for it."""
    # Imported here: torch is slow, and most of these tests do without.
    from tests.e2e import tiny

    folder = tmp_path_factory.mktemp("material")
    tiny.write_labels(folder / "labels.zip", tiny.write_generator(folder / "generators"))
    return folder


@pytest.fixture
def service(tmp_path: Path, material: Path) -> Iterator[Service]:
    """A service with the tiny generator, and labels for it uploaded."""
    from tests.worker.inline import Service

    made = Service(tmp_path, material)
    yield made
    made.db.close()
