"""One child after the other: started before there is work, recycled after N shards, replaced when it died.

A shard is claimed only once a child has loaded. While one loads, other workers may have the shard; and a machine on
which none can start takes no work that it would only fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from store.settings import Settings
from worker.runtime.child_handle import ChildDied, ChildProcess

log = structlog.get_logger()

#: After so many starts in a row that failed, the worker gives up.
_STARTS = 3
#: Seconds between checks for a stop request.
_LOOK_SECONDS = 0.2


class Children:
    """The supervisor's one child at a time. `despair`: why no child can start here, once that is certain."""

    def __init__(self, settings: Settings, steps: str) -> None:
        self._settings = settings
        self._steps = steps
        self._failed_starts = 0
        self.child: ChildProcess | None = None
        self.despair = ""

    def begin(self) -> ChildProcess:
        """The child, which may still be loading; a fresh one where there is none that can take another shard."""
        if self.child is not None and not self.child.alive:
            # It died while it had nothing to do, which is no shard's fault.
            log.warning("child.died_idle")
            self.end()
        if self.child is not None and self.child.shards >= self._settings.worker.recycle_after:
            log.info("child.recycled", shards=self.child.shards)
            self.end()
        if self.child is None:
            self.child = ChildProcess(self._settings, self._steps)
            log.info("child.started", pid=self.child.pid)
        return self.child

    def loaded(self, stopping: Callable[[], bool]) -> ChildProcess | None:
        """The child once it has loaded. None when `stopping` says so first, or when none can start (`despair`)."""
        while not stopping() and not self.despair:
            # The one that loads dies loudly here, with its last words; only a loaded one is looked at beforehand.
            child = self.child if self.child is not None and not self.child.loaded else self.begin()
            try:
                if child.wait_loaded(_LOOK_SECONDS):
                    self._failed_starts = 0
                    return child
            except ChildDied as death:
                self._not_started(death, stopping)
        return None

    def end(self) -> None:
        """Kill the child, if there is one."""
        if self.child is not None:
            self.child.kill()
            self.child = None

    def lost(self) -> None:
        """The child is known to be dead."""
        self.child = None

    def _not_started(self, death: ChildDied, stopping: Callable[[], bool]) -> None:
        self.child = None
        self._failed_starts += 1
        log.error("child.not_started", detail=death.detail, starts=self._failed_starts)
        if self._failed_starts >= _STARTS:
            self.despair = death.detail
            return
        until = time.monotonic() + 2.0 ** (self._failed_starts - 1)
        while not stopping() and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
