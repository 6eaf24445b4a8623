"""`offhand up`: both parts live and die together, and a port or folder in use is refused.

The worker is stood in for by a program that only says that it is there: what is tried here is the keeping of processes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import free_port

WORKER = """
import os, sys, time
from store.database.database import open_database
from store.settings import Settings
from store.workers import worker_alive
print("worker pid", os.getpid(), flush=True)
worker_alive(open_database(Settings()), "stand-in")
while not os.path.exists(os.path.join(os.environ["OFFHAND_HOME"], "die")):
    time.sleep(0.05)
sys.exit("the worker fell over")
"""
UP = """
import sys
import offhand.embedded.processes
offhand.embedded.processes.PARTS["worker"] = ["-c", sys.argv.pop(1)]
from offhand.cli import main
main()
"""


class Up:
    """One `offhand up`."""

    def __init__(self, repository: Path, data: Path, port: int, folder: Path | None = None) -> None:
        self.data, self.port, self.url = data, port, f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", UP, WORKER, "up", "--data", str(data), "--port", str(port), "--json"],
            cwd=folder or repository,
            env=os.environ | {"PYTHONPATH": str(repository)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def document(self) -> dict[str, Any]:
        """What it prints once it is ready."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.rstrip() == "}":
                break
        printed: dict[str, Any] = json.loads("".join(lines))
        return printed

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; status, stdout, stderr."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def up(repository: Path, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def up(data: Path | None = None, port: int | None = None, folder: Path | None = None) -> Up:
        started.append(Up(repository, data or tmp_path / "data", free_port() if port is None else port, folder))
        return started[-1]

    yield up
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
        one.process.communicate(timeout=60)


def processes_of(data: Path) -> list[int]:
    """Processes that were started for this data folder (Linux)."""
    found = []
    wanted = f"OFFHAND_HOME={data}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_and_down(up: Callable[..., Up], number: signal.Signals) -> None:
    one = up()
    document = one.document()
    assert document["url"] == one.url
    assert document["pid"] == one.process.pid
    assert httpx.get(f"{one.url}/readyz").json()["workers"] == 1
    assert len(processes_of(one.data)) == 3
    one.process.send_signal(number)
    status, _, err = one.end()
    assert status == 0, err
    assert processes_of(one.data) == []
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{one.url}/healthz")


@needs_proc
def test_a_second_up_is_told_who_is_there_and_disturbs_nothing(up: Callable[..., Up], tmp_path: Path) -> None:
    one = up()
    one.document()
    same_folder = up(data=one.data)
    status, out, _ = same_folder.end()
    assert status == 6
    detail = json.loads(out)["error"]["detail"]
    assert str(one.process.pid) in detail
    assert one.url in detail
    same_port = up(data=tmp_path / "other", port=one.port)
    status, out, _ = same_port.end()
    assert status == 6
    assert f"port {one.port} is in use by another Offhand" in json.loads(out)["error"]["detail"]
    assert httpx.get(f"{one.url}/readyz").status_code == 200
    assert len(processes_of(one.data)) == 3

    one.process.kill()  # no chance to tell its children
    one.end()
    until(lambda: processes_of(one.data) == [])
    again = up(data=one.data, port=one.port)
    assert again.document()["url"] == one.url


def test_a_port_of_another_program(up: Callable[..., Up]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, out, _ = up(port=taken.getsockname()[1]).end()
    assert status == 6
    assert "another program" in json.loads(out)["error"]["detail"]


@needs_proc
def test_all_end_when_one_dies(up: Callable[..., Up]) -> None:
    one = up()
    one.document()
    (one.data / "die").touch()
    status, out, _ = one.end()
    assert status == 7
    error = json.loads(out)["error"]
    assert "the worker ended" in error["detail"]
    assert "the worker fell over" in error["problems"]
    assert processes_of(one.data) == []


def test_a_folder_that_cannot_be_used(up: Callable[..., Up], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, out, err = up(data=tmp_path / "file" / "data").end()
    assert status == 1
    assert "data folder" in json.loads(out)["error"]["detail"]
    assert "Traceback" not in err


def up_with(setting: str, repository: Path, data: Path) -> subprocess.CompletedProcess[str]:
    """Run `offhand up` after a line that changes the module `installation`."""
    lines = ["from offhand.embedded import installation", setting, "from offhand.cli import main", "main()"]
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines), "up", "--data", str(data)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )


def test_up_without_the_libraries_of_the_service_names_the_command_that_installs_them(
    repository: Path, tmp_path: Path
) -> None:
    result = up_with("installation.find_spec = lambda name: None", repository, tmp_path / "data")
    assert result.returncode == 7
    assert f"pip install -e '{repository}[service,worker]'" in result.stderr
    assert not (tmp_path / "data").exists()


def test_up_outside_a_checkout_is_refused_even_beside_packages_of_the_same_names(
    repository: Path, tmp_path: Path
) -> None:
    for name in ("api", "contracts", "core", "migrations", "store", "worker"):
        (tmp_path / name).mkdir()
    setting = f"import pathlib; installation.ROOT = pathlib.Path({str(tmp_path)!r})"
    result = up_with(setting, repository, tmp_path / "data")
    assert result.returncode == 7
    assert "make setup" in result.stderr
    assert "docker compose up" in result.stderr
    assert not (tmp_path / "data").exists()


@needs_proc
def test_up_runs_in_a_folder_with_packages_of_the_same_names(up: Callable[..., Up], tmp_path: Path) -> None:
    for name in ("api", "core", "store", "worker"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} of the user was imported')")
    one = up(folder=tmp_path)
    assert one.document()["url"] == one.url
    one.process.send_signal(signal.SIGINT)
    status, _, err = one.end()
    assert status == 0, err
