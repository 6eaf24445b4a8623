"""The supervisor: claims shards, keeps their leases, watches the child, commits. It never imports torch."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import structlog

from store import tracing
from store.crash import crash_point
from store.database.database import Database
from store.errors import StoreError, StoreUnavailable
from store.ids import new_id
from store.jobs.claims import Claim, claim, give_back, heartbeat, is_wanted, log_figures, save_checkpoint
from store.jobs.commits import Failure, StepResult, commit, fail
from store.jobs.kinds import QUEUES
from store.objects import ObjectStore
from store.resources.files import File
from store.settings import Settings
from store.sweep import discard
from worker.runtime.child_handle import ChildDied, ChildProcess
from worker.runtime.child_pool import Children
from worker.runtime.failures import failure_of
from worker.runtime.messages import Checkpointed, Failed, Finished, GaveUp, Measured, Progressed, Run, Stop

log = structlog.get_logger()
T = TypeVar("T")

#: Stands in for an error that the database does not take.
UNRECORDED = "the error could not be recorded as it is; the worker's log has it"
#: Steps of the real service; tests name a module of their own.
STEPS = "worker.steps"
#: Progress is published this often when there is news, more often than the lease needs.
_NEWS_SECONDS = 1.0
#: Seconds between checks for a stop request.
_LOOK_SECONDS = 0.2
#: Whether the job was canceled is read this often between heartbeats.
_WANTED_SECONDS = 1.0
#: A child that was asked to stop and does not is killed after this. With the time until the cancellation is read, a
#: canceled job ends within 5 seconds.
_STOP_SECONDS = 3.0


@dataclass
class _Run:
    """One shard in the child's hands. Times are monotonic seconds."""

    claim: Claim
    renewed_at: float
    looked_at: float
    done: int = 0
    total: int = 0
    published: tuple[int, int] = (0, 0)
    stop_at: float | None = None
    kill_at: float | None = None


class Supervisor:
    """One device's worth of work: one child, one shard at a time."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        objects: ObjectStore,
        *,
        queues: Sequence[str] = QUEUES,
        steps: str = STEPS,
    ) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{new_id('w')[-8:]}"
        self._settings = settings
        self._db = db
        self._objects = objects
        self.queues = tuple(queues)
        self._children = Children(settings, steps)
        # A plain flag: a signal handler may set it while this thread holds any lock.
        self._stopping = False
        self._bell = threading.Event()

    def run(self) -> None:
        """Work until `stop`, or until it is clear that no child can start here: look for shards when the bell rings
        and every `poll_seconds`.
        """
        try:
            while not self._stopping and not self.despair:
                self._bell.clear()
                if not self.run_next():
                    self._idle()
        finally:
            self.close()

    def _idle(self) -> None:
        """Wait for the bell, for the next look, or for a stop request."""
        until = time.monotonic() + self._settings.worker.poll_seconds
        while not self._stopping and not self._bell.is_set() and (left := until - time.monotonic()) > 0:
            self._bell.wait(min(_LOOK_SECONDS, left))

    def run_until_idle(self) -> int:
        """Work until nothing is claimable or `stop`, or until no child can start; the number of shards taken."""
        taken = 0
        while not self._stopping and self.run_next():
            taken += 1
        return taken

    def run_next(self) -> bool:
        """Claim one shard and see it to its end. False when there was none, or no child to do it."""
        child = self._children.loaded(lambda: self._stopping)
        if child is None:
            return False
        try:
            taken = claim(self._db, self.owner, self.queues, child.steps)
        except StoreError as error:
            log.warning("shard.claim_failed", code=error.code, detail=str(error))
            time.sleep(1.0)
            return False
        if taken is None:
            return False
        crash_point("supervisor.after_claim")
        with _told(taken):
            log.info("shard.claimed")
            self._work(child, taken)
        return True

    def warm(self) -> None:
        """Let a child load, which takes seconds, before the first shard comes."""
        self._children.begin()

    @property
    def despair(self) -> str:
        """Why no child can start here, once that is certain; such a worker claims nothing and should end."""
        return self._children.despair

    def ring(self, _shard_id: str = "", _queue: str = "") -> None:
        """There may be work: look now."""
        self._bell.set()

    def stop(self) -> None:
        """Finish or return the current shard within `drain_seconds`, then end. Callable from a signal handler."""
        self._stopping = True

    def close(self) -> None:
        """End the child."""
        self._children.end()

    def _work(self, child: ChildProcess, taken: Claim) -> None:
        now = time.monotonic()
        run = _Run(taken, renewed_at=now, looked_at=now)
        try:
            child.shards += 1
            child.send(Run(taken))
            self._watch(child, run)
        except ChildDied as death:
            self._children.lost()
            log.error("child.died", detail=death.detail)
            self._failed(taken, Failure("worker_crashed", death.detail, retryable=True))

    def _watch(self, child: ChildProcess, run: _Run) -> None:
        """Follow one shard to its end, with heartbeats in between. Raises ChildDied."""
        while True:
            message = child.receive(self._patience(run))
            match message:
                case Progressed(done, total):
                    run.done, run.total = done, total
                case Checkpointed(file):
                    self._quietly(partial(self._checkpointed, run.claim, file))
                case Measured(figures):
                    self._quietly(partial(log_figures, self._db, run.claim, figures))
                case Finished(result, figures):
                    self._committed(run, result, figures)
                    return
                case Failed(failure):
                    self._failed(run.claim, failure)
                    return
                case GaveUp():
                    self._given_back(run.claim)
                    return
            if self._due(run) and self._beat(run) == "lost":
                log.warning("lease.lost")
                tracing.note("offhand.ended", "lost")
                self.close()
                self._discard(run.claim)
                return
            self._look(run)
            self._press(child, run)
            if run.kill_at is not None and time.monotonic() >= run.kill_at:
                log.warning("child.killed", reason="it did not stop")
                self.close()
                self._given_back(run.claim)
                return

    def _patience(self, run: _Run) -> float:
        """Seconds until something other than a message is due."""
        news = (run.done, run.total) != run.published
        pace = min(_NEWS_SECONDS, self._pace) if news else self._pace
        return min(_LOOK_SECONDS, max(0.0, run.renewed_at + pace - time.monotonic()))

    @property
    def _pace(self) -> float:
        return self._settings.worker.heartbeat_seconds

    def _due(self, run: _Run) -> bool:
        since = time.monotonic() - run.renewed_at
        return since >= self._pace or (since >= _NEWS_SECONDS and (run.done, run.total) != run.published)

    def _beat(self, run: _Run) -> str:
        try:
            answer = heartbeat(self._db, run.claim, done=run.done, total=run.total)
        except StoreError as error:
            log.warning("lease.not_renewed", code=error.code, detail=str(error))
            expired = time.monotonic() - run.renewed_at > self._settings.worker.lease_seconds
            return "lost" if expired else "keep"
        run.renewed_at = run.looked_at = time.monotonic()
        run.published = (run.done, run.total)
        if answer == "stop" and run.stop_at is None:
            run.stop_at = run.renewed_at
        return answer

    def _look(self, run: _Run) -> None:
        """Stop the shard of a job that was canceled or has ended since the last heartbeat."""
        now = time.monotonic()
        if run.stop_at is not None or now - run.looked_at < _WANTED_SECONDS:
            return
        run.looked_at = now
        # While the database is away the next heartbeat reports it.
        with contextlib.suppress(StoreError):
            if not is_wanted(self._db, run.claim):
                run.stop_at = now

    def _press(self, child: ChildProcess, run: _Run) -> None:
        """Pass a stop request on to the child, and set the time after which it is killed."""
        now = time.monotonic()
        drain = self._settings.worker.drain_seconds
        if self._stopping and run.stop_at is None:
            # Half of the time to finish, the other half to stop cleanly.
            run.stop_at = now + drain / 2
        if run.stop_at is not None and run.kill_at is None and now >= run.stop_at:
            child.send(Stop())
            run.kill_at = now + (drain / 2 if self._stopping else _STOP_SECONDS)
        if run.kill_at is not None and self._stopping:
            run.kill_at = min(run.kill_at, now + drain / 2)

    def _committed(self, run: _Run, result: StepResult, figures: dict[str, float]) -> None:
        taken = run.claim
        crash_point("supervisor.before_commit")
        try:
            outcome = self._insistently(lambda: commit(self._db, taken, result, total=run.total, figures=figures))
        except Exception as error:  # a result that the database does not take fails its shard, not the worker
            self._failed(taken, failure_of(error))
            return
        crash_point("supervisor.after_commit")
        ended = "committed" if outcome.done else "refused"
        log.info(f"shard.{ended}", files=len(result.files))
        tracing.note("offhand.ended", ended)
        for key in outcome.unused:
            self._quietly(partial(self._objects.delete, key))

    def _checkpointed(self, taken: Claim, file: File) -> None:
        unused = save_checkpoint(self._db, taken, file)
        crash_point("supervisor.after_checkpoint")
        if unused is not None:
            self._objects.delete(unused)

    def _failed(self, taken: Claim, failure: Failure) -> None:
        log.warning("shard.failed", code=failure.code, detail=failure.detail)
        tracing.note("offhand.ended", "failed")
        tracing.note("error.type", failure.code)
        self._discard(taken)
        if not self._quietly(lambda: fail(self._db, taken, failure)):
            plain = replace(failure, detail=UNRECORDED, problems=())
            self._quietly(lambda: fail(self._db, taken, plain))

    def _given_back(self, taken: Claim) -> None:
        log.info("shard.given_back")
        tracing.note("offhand.ended", "given back")
        # First the rows: a canceled job does not wait for a slow object store. Keys of other attempts are not touched.
        self._quietly(lambda: give_back(self._db, taken))
        self._discard(taken)

    def _discard(self, taken: Claim) -> None:
        """Delete what the attempt wrote; what is missed here the sweeper finds."""
        self._quietly(partial(discard, self._db, self._objects, taken.shard_id, taken.attempt))

    def _insistently(self, action: Callable[[], T]) -> T:
        """Repeat while the database is away, for as long as the lease can last. Raises the last StoreUnavailable."""
        until = time.monotonic() + self._settings.worker.lease_seconds
        while True:
            try:
                return action()
            except StoreUnavailable:
                if time.monotonic() >= until or self._stopping:
                    raise
                time.sleep(0.5)

    def _quietly(self, action: Callable[[], object]) -> bool:
        """Do what the lease's end would do anyway; when the store is away, leave it to that. Never raises: one shard's
        odd values must not end the worker. False where the database or the object store refused the values.
        """
        try:
            self._insistently(action)
        except StoreUnavailable:
            return True
        except StoreError as error:
            log.warning("store.failed", code=error.code, detail=str(error))
        except Exception as error:
            # The type alone: the text of a driver's error quotes the values.
            log.error("store.refused", error=type(error).__name__)
            return False
        return True


@contextlib.contextmanager
def _told(taken: Claim) -> Iterator[None]:
    """A span around the work on a shard, and log lines that name it."""
    about: dict[str, str | int] = {
        "job": taken.job_id,
        "step": taken.step,
        "shard": taken.shard_id,
        "attempt": taken.attempt,
    }
    named = {f"offhand.{name}": value for name, value in about.items()}
    with (
        structlog.contextvars.bound_contextvars(**about, request_id=taken.request_id),
        tracing.span(f"shard {taken.step}", kind="consumer", parent=taken.traceparent, attributes=named),
    ):
        yield
