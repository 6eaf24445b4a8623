"""Many readers of one log cost the database one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from api import live_logs
from api.live_logs import KEPT, LiveLogs, News
from store.errors import StoreUnavailable
from store.jobs.events import Event


class Log:
    """A job's log, and how often it was looked at."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.over = self.down = False
        self.looks = 0

    def add(self, count: int = 1) -> None:
        for _ in range(count):
            self.events.append(Event(len(self.events) + 1, datetime.now(UTC), "info", "shard.committed", {}))

    def look(self, number: int) -> News:
        self.looks += 1
        if self.down:
            raise StoreUnavailable("the database does not answer")
        return News(self.over, self.events[number:])


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(live_logs, "POLL_SECONDS", 0.01)
    return Log()


async def read(logs: LiveLogs, log: Log, number: int = 0) -> list[int]:
    """All numbers until the end, as a stream tells them."""
    heard: list[int] = []
    with logs.listening("local", "job_1", log.look, number) as live:
        while True:
            news = await live.after(number, 5.0)
            heard += [event.number for event in news.events]
            number = heard[-1] if heard else number
            if news.over:
                return heard


def test_hundreds_of_readers_cost_the_database_one(log: Log) -> None:
    async def all_of_it() -> list[list[int]]:
        logs = LiveLogs()
        readers = [asyncio.create_task(read(logs, log)) for _ in range(300)]
        for _ in range(4):
            await asyncio.sleep(0.05)
            log.add()
        log.over = True
        heard = await asyncio.wait_for(asyncio.gather(*readers), 30)
        assert not logs._logs, "nobody listens any more"
        return heard

    assert asyncio.run(all_of_it()) == [[1, 2, 3, 4]] * 300
    assert log.looks < 100


def test_another_looks_where_the_one_who_did_goes(log: Log) -> None:
    async def leave_and_stay() -> list[int]:
        logs = LiveLogs()
        first = asyncio.create_task(read(logs, log))
        await asyncio.sleep(0.03)
        second = asyncio.create_task(read(logs, log))
        await asyncio.sleep(0.03)
        first.cancel()
        log.add()
        log.over = True
        return await asyncio.wait_for(second, 2)

    assert asyncio.run(leave_and_stay()) == [1]


def test_who_is_far_behind_misses_nothing(log: Log) -> None:
    async def late() -> tuple[list[int], list[int]]:
        logs = LiveLogs()
        ahead = asyncio.create_task(read(logs, log))
        log.add(KEPT + 50)
        await asyncio.sleep(0.05)
        behind = asyncio.create_task(read(logs, log, number=10))
        await asyncio.sleep(0.05)
        log.over = True
        return await asyncio.wait_for(ahead, 5), await asyncio.wait_for(behind, 5)

    ahead, behind = asyncio.run(late())
    assert ahead == list(range(1, KEPT + 51))
    assert behind == list(range(11, KEPT + 51))


def test_a_database_that_is_gone_ends_every_stream(log: Log) -> None:
    async def lose_it() -> list[object]:
        logs = LiveLogs()
        readers = [asyncio.create_task(read(logs, log)) for _ in range(5)]
        await asyncio.sleep(0.03)
        log.down = True
        return await asyncio.wait_for(asyncio.gather(*readers, return_exceptions=True), 5)

    assert [type(one) for one in asyncio.run(lose_it())] == [StoreUnavailable] * 5
