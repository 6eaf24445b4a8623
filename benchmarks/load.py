"""Load that does not wait for answers: requests at a given rate of arrivals, and how long each was on its way."""

import asyncio
import json
import re
from collections import deque
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

Row = dict[str, Any]
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Caller:
    """Requests over as many kept connections as there are requests on their way.

    A client for everyday use spends more time on each request than the service does, and with hundreds of them on their
    way far more: then it would be measured, and not the service.
    """

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        assert where.hostname is not None
        self.host, self.port = where.hostname, where.port or 80
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def request(self, method: str, path: str, body: Any = None) -> int:
        """The status of the answer, which is read to its end. Raises OSError or EOFError where none comes."""
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(self.host, self.port)
        content = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if content else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{kind}Content-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(answer)
        await reader.readexactly(int(length[1]) if length else 0)
        self._idle.append((reader, writer))
        return int(answer[9:12])

    def close(self) -> None:
        """Hang up."""
        for _, writer in self._idle:
            writer.close()


async def open_loop(url: str, method: str, path: str, body: Any, rate: float, seconds: float) -> Row:
    """Requests at `rate` a second for so many seconds; percentiles of the latency in milliseconds."""
    latencies: list[float] = []
    wrong = 0

    async def one(due: float) -> None:
        nonlocal wrong
        try:
            wrong += await caller.request(method, path, body) >= 300
        except (OSError, EOFError):
            wrong += 1
        latencies.append((loop.time() - due) * 1000)

    loop, caller = asyncio.get_running_loop(), Caller(url)
    async with asyncio.TaskGroup() as tasks:
        begun = loop.time() + 0.05
        for number in range(max(2, round(rate * seconds))):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            tasks.create_task(one(due))
    caller.close()
    return {"rate": rate, "requests": len(latencies), "not_answered_well": wrong, **percentiles(latencies)}


def percentiles(values: list[float]) -> Row:
    """The median and the 99th percentile, named as milliseconds."""
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2)}
