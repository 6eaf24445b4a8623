"""The service as a person runs it: `offhand up` as a child process, and a look at the processes below it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

OFFHAND = [sys.executable, "-m", "offhand"]
START_SECONDS = 90.0
JOB_SECONDS = 180.0
TERMINAL = {"succeeded", "failed", "canceled", "expired"}

# Small shards, and faults noticed at once.
PACE = {
    "OFFHAND_WORKER__SHARD_IMAGES": "4",
    "OFFHAND_WORKER__SHARD_SECONDS": "0.05",
    "OFFHAND_WORKER__BATCH": "2",
    "OFFHAND_WORKER__LEASE_SECONDS": "4",
    "OFFHAND_WORKER__HEARTBEAT_SECONDS": "0.5",
    "OFFHAND_WORKER__POLL_SECONDS": "0.1",
    "OFFHAND_WORKER__REAP_SECONDS": "0.3",
    "OFFHAND_WORKER__BACKOFF_SECONDS": "0.1",
    "OFFHAND_WORKER__DEVICE": "cpu",
    "OFFHAND_WORKER__THREADS": "1",
    # In the few steps that tests take, the tiny generator redraws nothing well.
    "OFFHAND_WORKER__MIN_RECONSTRUCTION_PSNR": "0",
}


@dataclass
class Up:
    """A running `offhand up`."""

    process: subprocess.Popen[str]
    url: str
    data: Path

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=10).raise_for_status().json()

    def descendants(self, words: str = "") -> list[int]:
        """Process ids below `offhand up` whose command line contains `words`."""
        return [pid for pid in descendants(self.process.pid) if words in command_line(pid)]

    def wait_for(self, job: str, wanted: Callable[[dict[str, Any]], bool], seconds: float = JOB_SECONDS) -> Any:
        """The job as soon as `wanted` says so of it; a terminal job that is not wanted is an error."""
        deadline = time.monotonic() + seconds
        while True:
            document = self.get(f"/v1/jobs/{job}")
            if wanted(document):
                return document
            assert document["state"] not in TERMINAL, document
            assert time.monotonic() < deadline, document
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def service(
    data: Path, shipped: Path, *, port: int = 0, folder: Path | None = None, **environment: str
) -> Iterator[Up]:
    """`offhand up` over `data` with the generators of `shipped`; gone afterwards, whatever happened. `folder`: where it
    is started; None: here.
    """
    process = subprocess.Popen(
        [*OFFHAND, "up", "--data", str(data), "--port", str(port), "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=folder,
        env=os.environ | PACE | {"OFFHAND_GENERATORS_FOLDER": str(shipped)} | environment,
    )
    assert process.stdout is not None
    try:
        document = json.loads(_first_document(process))
        assert "url" in document, document
        yield Up(process, document["url"], data)
    finally:
        left = descendants(process.pid)
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30)
        finally:
            process.stdout.close()
            for pid in [process.pid, *left]:
                _kill(pid)


def _first_document(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            break
    return "".join(lines) or "{}"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def offhand(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """One `offhand` command; its exit status must be `expect`."""
    finished = subprocess.run(
        [*OFFHAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False
    )
    assert finished.returncode == expect, finished.stdout + finished.stderr
    return finished


def descendants(root: int) -> list[int]:
    """Ids of all processes below `root`, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
