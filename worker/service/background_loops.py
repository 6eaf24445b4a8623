"""The loops beside the work: a worker says that it is there; relay, reconciler, reaper and sweeper look after all.

Any number of processes may run either. A deployment runs the second kind in a program of its own
(`worker.service.relay`), so that a thousand workers do not all watch the outbox; the embedded mode runs both
beside its one worker.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from store.crash import crash_point
from store.database.database import Database
from store.errors import StoreError
from store.jobs.outbox import publish_hints, ring_again
from store.jobs.reaper import expire_jobs, reap
from store.objects import ObjectStore
from store.sweep import sweep
from store.workers import worker_alive, worker_gone
from worker.service.health import leave_sign
from worker.weights.folders import perceptual_weights

log = structlog.get_logger()

#: A worker says this often that it is there.
_ALIVE_SECONDS = 10.0
#: The outbox is looked at this often.
_RELAY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every `pace` seconds; `name` is the event under which it is logged."""

    name: str
    pace: float
    do: Callable[[], object]


class Upkeep:
    """One thread, each chore at its own pace. A chore that fails is logged and tried again at its next turn."""

    def __init__(self, chores: Sequence[Chore], farewell: Callable[[], object] = lambda: None) -> None:
        self._chores = chores
        self._farewell = farewell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def __enter__(self) -> Upkeep:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=5.0)
        with contextlib.suppress(StoreError):
            self._farewell()

    def _run(self) -> None:
        due = dict.fromkeys(self._chores, 0.0)
        while not self._stopping.wait(min(chore.pace for chore in self._chores) / 2):
            for chore in self._chores:
                if time.monotonic() >= due[chore]:
                    due[chore] = time.monotonic() + chore.pace
                    _do(chore)


def worker_upkeep(db: Database, owner: str) -> Upkeep:
    """Return the chores that report this worker to the store."""

    def announce_worker() -> None:
        worker_alive(db, owner, perceptual=perceptual_weights(db.settings) is not None)

    announce = Chore("worker.announce", _ALIVE_SECONDS, announce_worker)
    return Upkeep([announce], partial(worker_gone, db, owner))


def deployment_upkeep(db: Database, objects: ObjectStore, ring: Callable[[str, str], None]) -> Upkeep:
    """Tasks that one process does for all. `ring(shard_id, queue)` sends a hint; it may raise what a broker raises."""
    worker = db.settings.worker
    return Upkeep(
        [
            Chore("outbox.publish", _RELAY_SECONDS, lambda: publish_hints(db, _mortal(ring))),
            Chore("leases.reap", worker.reap_seconds, lambda: reap(db)),
            Chore("jobs.expire", worker.sweep_seconds, lambda: expire_jobs(db)),
            Chore(
                "shards.ring_again",
                worker.reap_seconds,
                lambda: ring_again(db, after_seconds=worker.ring_again_seconds),
            ),
            Chore("objects.sweep", worker.sweep_seconds, lambda: sweep(db, objects)),
        ]
    )


def _do(chore: Chore) -> None:
    try:
        count = chore.do()
        leave_sign()
        if count:
            log.debug(chore.name, count=count)
    except StoreError as error:
        log.warning(f"{chore.name}_failed", code=error.code, detail=str(error))
    except Exception as error:
        # A broker that is away, most of all: the hint stays in the outbox.
        log.warning(f"{chore.name}_failed", code="unforeseen", detail=f"{type(error).__name__}: {error}")


def _mortal(ring: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """`ring`, and the point at which a relay may die with the hint published and not yet forgotten."""

    def ring_and_perhaps_die(shard_id: str, queue: str) -> None:
        ring(shard_id, queue)
        crash_point("relay.after_ring")

    return ring_and_perhaps_die
