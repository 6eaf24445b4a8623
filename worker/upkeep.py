"""The loops beside the work: reaper, relay, reconciler, sweeper. Any number of processes may run them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import structlog

from store.crash import crash_point
from store.db import Database
from store.errors import StoreError
from store.jobs.outbox import publish_hints, ring_again
from store.jobs.reaper import expire_jobs, reap
from store.objects import ObjectStore
from store.sweep import sweep
from store.workers import worker_alive, worker_gone

log = structlog.get_logger()

#: A worker says this often that it is there.
_ALIVE_SECONDS = 10.0
#: The outbox is looked at this often.
_RELAY_SECONDS = 0.5


def _mortal(ring: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """`ring`, and the point at which a relay may die with the hint published and not yet forgotten."""

    def ring_and_perhaps_die(shard_id: str, queue: str) -> None:
        ring(shard_id, queue)
        crash_point("relay.after_ring")

    return ring_and_perhaps_die


class Upkeep:
    """One thread, each chore at its own pace. A chore that fails is logged and tried again at its next turn."""

    def __init__(self, db: Database, objects: ObjectStore, owner: str, ring: Callable[[str, str], None]) -> None:
        worker = db.settings.worker
        self._db, self._owner = db, owner
        self._chores: list[tuple[str, float, Callable[[], object]]] = [
            ("worker.announce", _ALIVE_SECONDS, lambda: worker_alive(db, owner)),
            ("outbox.publish", _RELAY_SECONDS, lambda: publish_hints(db, _mortal(ring))),
            ("leases.reap", worker.reap_seconds, lambda: reap(db)),
            ("jobs.expire", worker.sweep_seconds, lambda: expire_jobs(db)),
            ("shards.ring_again", worker.reap_seconds, lambda: ring_again(db, after_seconds=worker.ring_again_seconds)),
            ("objects.sweep", worker.sweep_seconds, lambda: sweep(db, objects)),
        ]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def __enter__(self) -> Upkeep:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=5.0)
        with contextlib.suppress(StoreError):
            worker_gone(self._db, self._owner)

    def _run(self) -> None:
        due = {name: 0.0 for name, _, _ in self._chores}
        while not self._stopping.wait(min(pace for _, pace, _ in self._chores) / 2):
            for name, pace, chore in self._chores:
                if time.monotonic() < due[name]:
                    continue
                due[name] = time.monotonic() + pace
                try:
                    count = chore()
                    if count:
                        log.debug(name, count=count)
                except StoreError as error:
                    log.warning(f"{name}_failed", code=error.code, detail=error.detail)
                except Exception as error:
                    # A broker that is away, most of all: the hint stays in the outbox.
                    log.warning(f"{name}_failed", code="unforeseen", detail=f"{type(error).__name__}: {error}")
