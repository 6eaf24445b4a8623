"""The child process: owns torch, loads models once, does one shard at a time, dies with its parent.

Started by the supervisor as `python -m worker.runtime.child FD PARENT`; FD is one end of a socket pair.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from core.errors import Stopped
from core.process import die_with_parent
from store.database.database import Database, create_database_engine
from store.jobs.claims import Claim
from store.logs import make_output_optional
from store.objects import open_objects
from store.settings import Settings
from worker.runtime.attempt_metrics import Stopwatch
from worker.runtime.failures import failure_of
from worker.runtime.folders import held_folder
from worker.runtime.messages import (
    SHARD_BEGINS,
    Failed,
    Finished,
    GaveUp,
    Message,
    Progressed,
    Ready,
    Run,
    Start,
    Stop,
)
from worker.runtime.model_cache import Models
from worker.runtime.run_step import Step, run_step
from worker.runtime.step_context import StepContext

#: Seconds between two progress messages.
_PROGRESS_SECONDS = 0.2


class Child:
    """The child's side of the pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._work: queue.Queue[Run] = queue.Queue()
        self._stop = threading.Event()
        self._last_progress = 0.0
        self._watch = Stopwatch()
        start = connection.recv()
        assert isinstance(start, Start)
        self._settings = Settings.model_validate_json(start.settings)
        self._folder = Path(start.folder)
        self._steps: Mapping[str, Step] = importlib.import_module(start.steps).STEPS
        # The supervisor opened the database and brought it up to date; here it is only read.
        self._db = Database(create_database_engine(self._settings), self._settings)
        self._objects = open_objects(self._settings)
        self._models = Models(self._settings)

    def serve(self) -> None:
        """Do shards until the pipe ends."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._send(Ready(tuple(self._steps)))
        while True:
            self._do(self._work.get().claim)

    def _listen(self) -> None:
        """Messages are taken while a step computes: `Stop` must reach it, and the pipe's end must end the process."""
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, Stop):
                    self._stop.set()
                elif isinstance(message, Run):
                    self._stop.clear()
                    self._work.put(message)
        except (EOFError, OSError):
            os._exit(0)

    def _do(self, claim: Claim) -> None:
        self._watch = Stopwatch()
        with contextlib.suppress(OSError):
            os.write(2, SHARD_BEGINS)
        try:
            with held_folder(self._folder) as folder:
                result = run_step(self._steps, self._context(claim, folder))
            self._send(Finished(result, self._watch.figures()))
        except Stopped:
            self._send(GaveUp())
        except Exception as error:
            traceback.print_exc()
            self._send(Failed(failure_of(error)))

    def _context(self, claim: Claim, folder: Path) -> StepContext:
        return StepContext(
            claim=claim,
            db=self._db,
            objects=self._objects,
            settings=self._settings,
            models=self._models,
            folder=folder,
            progress=self._progress,
            should_stop=self._stop.is_set,
            announce=self._send,
        )

    def _progress(self, done: int, total: int) -> None:
        self._watch.done = int(done)
        now = time.monotonic()
        if done >= total or now - self._last_progress >= _PROGRESS_SECONDS:
            self._last_progress = now
            self._send(Progressed(int(done), int(total)))

    def _send(self, message: Message) -> None:
        with self._sending:
            self._connection.send(message)


def main(arguments: list[str]) -> None:
    """Entry of `python -m worker.runtime.child`."""
    make_output_optional()
    descriptor, parent = map(int, arguments)
    die_with_parent(parent)
    # Ctrl-C in a terminal reaches the supervisor, which decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Child(Connection(descriptor)).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
