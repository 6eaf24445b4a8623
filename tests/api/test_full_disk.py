"""API and deliverer whose log is on a full disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from api.deliverer import THREADS


def start(module: str, home: Path, repository: Path, **more: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OFFHAND_HOME": str(home), "OFFHAND_LOG_LEVEL": "debug", **more}
    with open("/dev/full", "wb") as full:
        return subprocess.Popen(
            [sys.executable, "-m", module], env=environment, cwd=repository, stdout=full, stderr=full
        )


def ended(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(timeout=30)
    finally:
        process.kill()


def test_api_answers_when_no_log_line_can_be_written(tmp_path: Path, repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = start("api", tmp_path, repository, OFFHAND_API__HOST="127.0.0.1", OFFHAND_API__PORT=str(port))
    try:
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/v1/jobs").status_code == 200
                assert httpx.get(f"http://127.0.0.1:{port}/v1/none").status_code == 404
                break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            pytest.fail(f"it does not answer: {process.poll()}")
        assert process.poll() is None
    finally:
        ended(process)


def test_deliverer_goes_on_when_no_log_line_can_be_written(tmp_path: Path, repository: Path) -> None:
    process = start("api.deliverer", tmp_path, repository)
    until = time.monotonic() + 60
    while process.poll() is None and _threads(process.pid) <= THREADS and time.monotonic() < until:
        time.sleep(0.05)
    assert _threads(process.pid) > THREADS, "it delivers"
    assert ended(process) == 0


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
