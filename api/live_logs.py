"""Logs of jobs as they grow, each read once for all who listen to it: hundreds of readers cost the database one."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import anyio
from starlette.concurrency import run_in_threadpool

from store.errors import StoreUnavailable
from store.jobs.events import Event

POLL_SECONDS = 0.5
#: Recent events in memory, for readers slightly behind.
KEPT = 200


class News(NamedTuple):
    """`over`: the job has ended, and nothing comes after these `events`. `more`: something does, already."""

    over: bool
    events: list[Event]
    more: bool = False


#: The number of an event → what comes after it; blocks.
Look = Callable[[int], News]


class LiveLog:
    """The end of one job's log. There is no task of its own: of those who wait, one looks for all."""

    def __init__(self, look: Look, number: int) -> None:
        self.readers = 0
        self._look, self._seen = look, number
        self._over = False
        self._failure: StoreUnavailable | None = None
        self._tail: deque[Event] = deque(maxlen=KEPT)
        self._looking = False
        self._changed = anyio.Event()

    async def after(self, number: int, patience: float) -> News:
        """Return what follows event `number`: at once where it is known, else what comes within about `patience`
        seconds or a look, which may be nothing. Raises StoreUnavailable.
        """
        if number >= self._seen and not self._over and self._failure is None:
            if self._looking:
                with anyio.move_on_after(patience):
                    await self._changed.wait()
            else:
                await self._look_for_all()
        if self._failure is not None:
            raise self._failure
        if number >= self._seen:
            return News(self._over, [])
        if self._tail and self._tail[0].number <= number + 1:
            return News(self._over, [event for event in self._tail if event.number > number])
        return await run_in_threadpool(self._look, number)  # from before the events in memory

    async def _look_for_all(self) -> None:
        self._looking = True
        try:
            await anyio.sleep(POLL_SECONDS)
            self._over, found, _ = await run_in_threadpool(self._look, self._seen)
            self._tail.extend(found)
            self._seen = found[-1].number if found else self._seen
        except StoreUnavailable as error:
            self._failure = error
        finally:
            # Also where nothing came, or this reader is going: the next one to wait looks, however slow this one is.
            self._looking = False
            self._changed.set()
            self._changed = anyio.Event()


class LiveLogs:
    """The logs with listeners in this process."""

    def __init__(self) -> None:
        self._logs: dict[object, LiveLog] = {}

    @contextmanager
    def listening(self, tenant: str, job_id: str, look: Look, number: int) -> Iterator[LiveLog]:
        """The log of a job, for one reader who knows it up to event `number`."""
        key = (asyncio.get_running_loop(), tenant, job_id)  # what waits in one loop cannot be woken from another
        log = self._logs.setdefault(key, LiveLog(look, number))
        log.readers += 1
        try:
            yield log
        finally:
            log.readers -= 1
            if not log.readers:
                self._logs.pop(key, None)
