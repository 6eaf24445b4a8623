"""The log of a job as it grows: server-sent events (WHATWG HTML, section 9.2), with reconnection."""

import json
import time
from collections.abc import Iterator

import httpx

from offhand.documents import Event
from offhand.errors import Unreachable
from offhand.sdk.connection import Connection, checked

#: Seconds between two bytes of the stream: the service sends a comment every 15 s.
_SILENCE = 45.0
_PAUSE = 0.5


def live_events(connection: Connection, path: str) -> Iterator[Event]:
    """Yield events until the service answers 204: the job has ended. Raises :class:`Refused`, :class:`Unreachable`."""
    last, give_up_at = 0, time.monotonic() + connection.patience
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": str(last)} if last else {})}
        try:
            with connection.http.stream("GET", path, headers=headers, timeout=_SILENCE) as response:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                for event in _events(checked(response)):
                    give_up_at = time.monotonic() + connection.patience
                    last = event["number"]
                    yield event
            if last == 0:
                time.sleep(_PAUSE)
        except httpx.TransportError as error:
            if time.monotonic() > give_up_at:
                raise Unreachable(f"nothing answers at {connection.base_url} ({error})") from error
            time.sleep(_PAUSE)


def _events(response: httpx.Response) -> Iterator[Event]:
    data: list[str] = []
    for line in response.iter_lines():
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").strip())
        elif not line and data:
            event: Event = json.loads("\n".join(data))
            data = []
            yield event
