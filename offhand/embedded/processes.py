"""`offhand up`: API, worker and webhook deliverer as child processes over one data folder, alive and dead together.

The children are started by command line and never imported, so that this package stays small. Each has its own process
group: Ctrl-C reaches this process alone, which then stops them in order. Where this process is killed outright, the
kernel ends the children (Linux).
"""

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from offhand.embedded.installation import (
    WORKER_LIBRARIES,
    WORKER_PACKAGES,
    refuse_missing_service,
    service_environment,
)
from offhand.errors import ClientError, InUse, NotStarted
from offhand.terminal.output import Output

HOST = "127.0.0.1"
PARTS = {"api": ["-m", "api"], "worker": ["-m", "worker", "--embedded"], "deliverer": ["-m", "api.deliverer"]}
DRAIN_SECONDS = 15.0
PR_SET_PDEATHSIG = 1


def serve(data: Path, port: int, log_level: str, wait: float, output: Output) -> None:
    """Run until Ctrl-C, SIGTERM, or the death of a part; nothing is left running."""
    refuse_missing_service()
    with claimed_folder(data.absolute()) as claim:
        port = free_port(port)
        url = f"http://{HOST}:{port}"
        claim(url)
        stopping = Stopping()
        children = start(data.absolute(), port, log_level)
        try:
            await_ready(url, children, data, wait, stopping)
            if not stopping:
                announce(url, data, output)
            while not stopping:
                refuse_dead(children, data)
                time.sleep(0.2)
            with suppress(OSError):
                output.note("stopping …")
        finally:
            stop(children)


def announce(url: str, data: Path, output: Output) -> None:
    """Print where the service is. Where the output takes no more, as on a full disk, the service runs all the same."""
    document = {"url": url, "data": str(data), "pid": os.getpid()}
    text = f"Offhand is up at {url}\n  data  {data}\n  logs  {data / 'logs'}\n  Ctrl-C stops it"
    with suppress(OSError):
        output.result(document, text)


def become_worker(device: str | None, queues: str | None, embedded: bool) -> None:
    """Turn this process into `python -m worker`: signals then reach it as if it had been started so."""
    refuse_missing_service(WORKER_PACKAGES, WORKER_LIBRARIES)
    chosen = {"--device": device, "--queues": queues}
    options = [word for name, value in chosen.items() if value is not None for word in (name, value)]
    flags = ["--embedded"] if embedded else []
    command = [sys.executable, "-m", "worker", *options, *flags]
    os.execve(sys.executable, command, service_environment())  # noqa: S606 - no shell is wanted


@contextmanager
def claimed_folder(data: Path) -> Iterator[Any]:
    """Hold the data folder for this process; a second `offhand up` on it is refused, naming the holder.

    The claim is a lock of the kernel: it ends with the process, however that ends, and never has to be cleaned up.
    """
    try:
        (data / "logs").mkdir(parents=True, exist_ok=True)
        file = (data / "up.lock").open("a+")
    except OSError as error:
        raise ClientError(f"cannot use {data} as data folder: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            with suppress(ValueError, KeyError):
                holder = json.loads(file.read())
                raise InUse(
                    f"another `offhand up` (process {holder['pid']}, {holder['url']}) runs on {data}; "
                    "use it, stop it, or choose another folder with --data"
                ) from error
            raise InUse(f"another `offhand up` runs on {data}") from error

        def claim(url: str) -> None:
            # For a second `offhand up` to name; on a full disk the lock alone has to do.
            with suppress(OSError):
                file.seek(0)
                file.truncate()
                file.write(json.dumps({"pid": os.getpid(), "url": url}))
                file.flush()

        yield claim


def free_port(port: int) -> int:
    """``port`` if it can be listened on (0: any free one); :class:`InUse` names what uses it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise InUse(
                    f"port {port} is in use by {neighbour(port)}; choose another with --port, or 0 for any free one"
                ) from error
            raise ClientError(f"cannot listen on port {port}: {error.strerror}") from error
        return int(probe.getsockname()[1])


def neighbour(port: int) -> str:
    """Return what listens on ``port``: another Offhand, or another program."""
    try:
        answer = httpx.get(f"http://{HOST}:{port}/healthz", timeout=1.0)
        if answer.json().get("service") == "offhand":
            return "another Offhand"
    except (httpx.HTTPError, ValueError, AttributeError):
        pass
    return "another program"


class Stopping:
    """True once this process was asked to end."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True

    def __bool__(self) -> bool:
        return self.asked


def die_with_parent() -> None:
    """In the child, before its program starts: ask the kernel for SIGTERM when the parent is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(data: Path, port: int, log_level: str) -> dict[str, subprocess.Popen[bytes]]:
    """Start the parts, each with a log file of its own."""
    environment = service_environment() | {
        "OFFHAND_HOME": str(data),
        "OFFHAND_API__HOST": HOST,
        "OFFHAND_API__PORT": str(port),
        "OFFHAND_LOG_LEVEL": log_level,
    }
    children = {}
    for name, arguments in PARTS.items():
        with log_file(data, name).open("ab") as log:
            children[name] = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
    return children


def log_file(data: Path, name: str) -> Path:
    """Return the log file of a part."""
    return data / "logs" / f"{name}.log"


def await_ready(
    url: str, children: dict[str, subprocess.Popen[bytes]], data: Path, wait: float, stopping: Stopping
) -> None:
    """Wait until the service is ready; raise where a part ends or ``wait`` seconds pass."""
    give_up_at = time.monotonic() + wait
    reason = "no answer"
    while not stopping:
        refuse_dead(children, data)
        try:
            answer = httpx.get(f"{url}/readyz", timeout=2.0)
            if answer.status_code == 200:
                return
            reason = str(answer.json().get("detail", answer.status_code))
        except (httpx.HTTPError, ValueError):
            pass
        if time.monotonic() > give_up_at:
            raise NotStarted(f"not ready after {wait:g} s: {reason}", [f"see {log_file(data, n)}" for n in children])
        time.sleep(0.1)


def refuse_dead(children: dict[str, subprocess.Popen[bytes]], data: Path) -> None:
    """Raise with the last lines of its log where a part has ended."""
    for name, child in children.items():
        if child.poll() is not None:
            raise NotStarted(f"the {name} ended with status {child.returncode}", last_lines(log_file(data, name)))


def last_lines(path: Path, count: int = 12) -> list[str]:
    """Return the last lines of a log, and its path."""
    with path.open(errors="replace") as file:
        return [*(line.rstrip() for line in deque(file, maxlen=count)), f"({path})"]


def stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """Ask every part to end; after ``DRAIN_SECONDS`` end its whole process group."""
    for child in children.values():
        if child.poll() is None:
            child.terminate()
    give_up_at = time.monotonic() + DRAIN_SECONDS
    for child in children.values():
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.1, give_up_at - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # also what a dead part may have left behind
        child.wait()
