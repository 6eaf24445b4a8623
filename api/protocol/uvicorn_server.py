"""Server of the service: bounded and strict requests, and connections that end without losing an answer."""

import asyncio
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import h11
import uvicorn
from h11._receivebuffer import ReceiveBuffer
from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.protocol.errors import answer
from api.protocol.middleware import SECURITY_HEADERS

#: Bytes that the head of a request may have.
HEAD_BYTES = 1 << 15
PIECE = 1 << 12
#: Seconds that a connection stays open without a request: longer than reverse proxies keep theirs (60 s), so that they
#: never send into one that is being closed.
KEEP_ALIVE_SECONDS = 75
#: What is still read of a request after its answer was sent.
DRAIN_BYTES = 1 << 26
DRAIN_SECONDS = 30.0

_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")
#: Problem codes by the status that h11 gives a protocol error; all others are 400.
_PROTOCOL_ERRORS = {431: "head_too_large", 501: "not_implemented"}


class StrictBuffer(ReceiveBuffer):
    """Refuses lines of heads and trailers that do not end with CRLF or are folded (RFC 9112, sections 2.2 and 5.2):
    other readers on the way could see other lines.
    """

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines of a head; refuse bare line feeds."""
        before = bytes(self)
        lines = super().maybe_extract_lines()
        if lines is not None:
            if _BARE_LINE_END.search(before, 0, len(before) - len(self)):
                raise h11.RemoteProtocolError("lines have to end with CR LF")
            if any(line.startswith((b" ", b"\t")) for line in lines):
                raise h11.RemoteProtocolError("header lines must not be folded")
        return lines


class StrictConnection(h11.Connection):
    """An HTTP connection whose requests can be read in one way only."""

    def __init__(self, max_incomplete_event_size: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)
        self._receive_buffer = StrictBuffer()

    def next_event(self) -> Any:
        """Return the next event. Raises RemoteProtocolError, also for a request with two lengths (RFC 9112, 6.1)."""
        event = super().next_event()
        if isinstance(event, h11.Request) and {b"content-length", b"transfer-encoding"} <= {
            n for n, _ in event.headers
        }:
            raise h11.RemoteProtocolError("Content-Length and Transfer-Encoding must not come together")
        return event


class LingeringTransport:
    """A transport whose `close` lets the caller finish sending: it ends the answer and reads on, within bounds.

    A connection that is closed over unread bytes is reset, and the reset may overtake the answer.
    """

    def __init__(self, transport: asyncio.Transport, unread: Callable[[], bool]) -> None:
        """Wrap a transport. `unread` returns whether bytes of a request may still be on their way."""
        self._transport, self._unread = transport, unread
        self._timer: asyncio.TimerHandle | None = None
        self.bound_rest()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def draining(self) -> bool:
        """Whether the answer has ended, and what still comes is thrown away."""
        return self._timer is not None

    def is_closing(self) -> bool:
        """Return whether the connection is closing."""
        return self.draining or self._transport.is_closing()

    def close(self) -> None:
        """Close once the answer is sent."""
        if self.draining:
            return
        if self._transport.is_closing() or not self._unread() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        self._timer = asyncio.get_running_loop().call_later(DRAIN_SECONDS, self.close_now)

    def bound_rest(self) -> None:
        """Allow DRAIN_BYTES more to be thrown away."""
        self._left = DRAIN_BYTES

    def throw_away(self, size: int) -> None:
        """Count bytes that are not used; past DRAIN_BYTES the connection is closed."""
        self._left -= size
        if self._left < 0:
            self.close_now()

    def close_now(self) -> None:
        """Close, whatever is still to come."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport.close()


class PatientOnce(H11Protocol):
    """Refuses what is not HTTP with a problem document, and closes a connection whose request has not come whole, up to
    the end of its head, after ``head_seconds``; so much time has the rest of a body whose answer was sent.

    The server itself only closes connections that are silent after a request; one that sends a header line now and then
    would hold its place for ever.
    """

    head_seconds = 15.0
    transport: Any

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        self.conn = StrictConnection(self.config.h11_max_incomplete_event_size or HEAD_BYTES)
        super().connection_made(LingeringTransport(transport, self._unread))  # type: ignore[arg-type]
        self._waited_for: tuple[Any, ...] | None = None
        self._look = self.loop.call_later(self.head_seconds, self._look_again)

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the client."""
        # The parser bounds what of a head has not come whole: one that comes whole at once is shown to it in pieces.
        while data and not self.transport.is_closing():
            taken = len(data) if self.conn.their_state is h11.SEND_BODY else PIECE
            super().data_received(data[:taken])
            data = data[taken:]
            if self._answered() and self.conn.their_state is h11.SEND_BODY:
                self.transport.throw_away(taken)
        if self.transport.draining:
            self.transport.throw_away(len(data))

    def eof_received(self) -> None:
        """Handle the end of what the client sends."""
        if self.transport.draining:
            self.transport.close_now()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._look.cancel()
        self.transport.close_now()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Go on after an answer."""
        self.transport.bound_rest()
        super().on_response_complete()

    def shutdown(self) -> None:
        """End the connection when the server stops."""
        if self.transport.draining:
            self.transport.close_now()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer a protocol error, where no answer has begun, and close the connection."""
        error = sys.exception()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in _protocol_problem(error if isinstance(error, h11.RemoteProtocolError) else None, msg):
                self.transport.write(self.conn.send(event))
        if self.cycle is not None:
            # What the route answers to a request that broke off is not sent.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _unread(self) -> bool:
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR) or bool(self.conn.trailing_data[0])

    def _waits_for(self) -> tuple[Any, ...] | None:
        """The head, or the rest of a body, that the caller has still to send; None where nothing is awaited."""
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        in_head = self.conn.their_state is h11.IDLE and (self.cycle is None or bool(self.conn.trailing_data[0]))
        in_rest_of_body = self.conn.their_state is h11.SEND_BODY
        return (self.cycle, in_head) if in_head or in_rest_of_body else None

    def _look_again(self) -> None:
        waits_for = self._waits_for()
        if waits_for is not None and waits_for == self._waited_for:
            self.transport.close_now()
            return
        if waits_for is None and self._answered() and self.timeout_keep_alive_task is None:
            # The server sets this timer when an answer ends, and drops it when the rest of a body comes after that.
            handler = self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, handler)
        self._waited_for = waits_for
        self._look = self.loop.call_later(self.head_seconds, self._look_again)


def _protocol_problem(error: h11.RemoteProtocolError | None, fallback: str) -> list[Any]:
    """The events of an answer to a request that is not HTTP, with the headers of every other answer."""
    code = _PROTOCOL_ERRORS.get(error.error_status_hint if error else 400, "malformed_request")
    request_id = uuid4().hex
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {"request_id": request_id}}
    detail = (
        f"The head of a request may have {HEAD_BYTES} bytes." if code == "head_too_large" else str(error or fallback)
    )
    headers = {**SECURITY_HEADERS, "Connection": "close", "X-Request-Id": request_id}
    response = answer(Request(scope), code, detail, headers=headers)
    return [
        h11.Response(
            status_code=response.status_code,
            headers=response.raw_headers,
            reason=HTTPStatus(response.status_code).phrase.encode(),
        ),
        h11.Data(data=bytes(response.body)),
        h11.EndOfMessage(),
    ]


def config(app: ASGIApp, host: str, port: int, protocol: type[asyncio.Protocol] = PatientOnce) -> uvicorn.Config:
    """Return the configuration of uvicorn."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        ws="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        log_level="warning",
        access_log=False,
        server_header=False,
        # X-Forwarded-For is read by api/security/client_address.py, from trusted proxies alone.
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
