"""The document against the running service: every operation, with data that fits its schema and data that does not."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.db import Database
from store.settings import Settings
from store.workers import worker_alive
from tests.serving import ApiProcess

#: Cases for each operation and phase.
EXAMPLES = 3


@pytest.fixture
def service(settings: Settings, db: Database, generators: Path) -> Iterator[ApiProcess]:
    """The service with a worker that says it is there, for `/readyz`."""
    ended = threading.Event()

    def announce() -> None:
        while not ended.is_set():
            worker_alive(db, "stand-in")
            ended.wait(10)

    thread = threading.Thread(target=announce)
    thread.start()
    with ApiProcess(settings.home, generators, OFFHAND_LIMITS__QUEUED_JOBS="1000000") as process:
        yield process
    ended.set()
    thread.join()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_operation_keeps_its_word(service: ApiProcess, repository: Path, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(repository / "tests/api/schemathesis.toml")),
        *("run", f"{service.url}/openapi.json", "--checks", "all", "--mode", "all"),
        *("--max-examples", str(EXAMPLES), "--generation-deterministic", "--request-timeout", "60", "--no-color"),
        *("--suppress-health-check", "filter_too_much"),
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2_000:]
    assert re.search(r"(\d+) generated, \1 passed", ran.stdout), ran.stdout[-2_000:]
    assert "Traceback" not in service.log.read_text()
