"""The supervisor's handle on its child: start, talk, kill, and remember its last words."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from multiprocessing.connection import Connection

from core.process import environment_to_compute
from store.settings import Settings
from worker.runtime.folders import new_folder
from worker.runtime.messages import SHARD_BEGINS, Message, Ready, Start

#: Bytes of the child's standard error kept for the job's error.
_TAIL = 2000


class ChildDied(Exception):
    """The child is gone; `detail` says how and holds the end of its standard error since its shard began."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ChildProcess:
    """A running child, in a process group of its own so that it can be killed with everything it started."""

    def __init__(self, settings: Settings, steps: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.runtime.child", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=environment_of_child(settings),
            )
        self._connection = Connection(ours.detach())
        self._tail: deque[bytes] = deque()
        self._reader = threading.Thread(target=self._forward, daemon=True)
        self._reader.start()
        self.shards = 0
        self.steps: tuple[str, ...] = ()
        self._folder = new_folder()
        self.send(Start(settings_of_child(settings).model_dump_json(), steps, str(self._folder)))

    @property
    def pid(self) -> int:
        """Process id, also that of its group."""
        return self._process.pid

    @property
    def loaded(self) -> bool:
        """Whether it has said which `steps` it can do."""
        return bool(self.steps)

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def send(self, message: Message) -> None:
        """Say something. Raises ChildDied."""
        try:
            self._connection.send(message)
        except OSError as error:
            raise ChildDied(self._last_words()) from error

    def receive(self, timeout: float) -> Message | None:
        """The next message, or None after `timeout` seconds of silence. Raises ChildDied."""
        try:
            if not self._connection.poll(max(0.0, timeout)):
                return None
            message: Message = self._connection.recv()
            return message
        except (EOFError, OSError) as error:
            raise ChildDied(self._last_words()) from error

    def wait_loaded(self, timeout: float) -> bool:
        """Whether the child has imported what it needs, for which `timeout` seconds are waited. Raises ChildDied."""
        if not self.loaded:
            # It says nothing else before.
            match self.receive(timeout):
                case Ready(steps):
                    self.steps = steps
        return self.loaded

    def kill(self) -> None:
        """End the child and everything it started, at once, and remove its files. Harmless when it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._connection.close()
        self._reader.join(timeout=1.0)

    def _forward(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                if line == SHARD_BEGINS:
                    self._tail.clear()
                    continue
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
                self._tail.append(line)
                while len(self._tail) > 1 and sum(map(len, self._tail)) > _TAIL:
                    self._tail.popleft()

    def _last_words(self) -> str:
        self.kill()
        status = self._process.returncode
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        tail = b"".join(self._tail)[-_TAIL:].decode("utf-8", "replace").strip()
        return f"the worker process ended with {how}" + (f"; its last words:\n{tail}" if tail else "")


def environment_of_child(settings: Settings) -> dict[str, str]:
    """Variables that count before the child imports anything."""
    environment = environment_to_compute(os.environ)
    if settings.worker.threads:
        environment["OMP_NUM_THREADS"] = str(settings.worker.threads)
    number = _gpu_number(settings.worker.device)
    if number is not None:
        # The child sees one GPU and cannot take another's memory by mistake. Numbers count within what we see.
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        environment["CUDA_VISIBLE_DEVICES"] = visible[number] if number < len(visible) else str(number)
    return environment


def settings_of_child(settings: Settings) -> Settings:
    """The one GPU that the child sees is its first."""
    if _gpu_number(settings.worker.device) is None:
        return settings
    return settings.model_copy(update={"worker": settings.worker.model_copy(update={"device": "cuda"})})


def _gpu_number(device: str) -> int | None:
    name, _, number = device.partition(":")
    return int(number) if name == "cuda" and number.isdecimal() else None
