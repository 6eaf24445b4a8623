"""How the service is served: bounded headers, and no connection that is held open by saying nothing."""

import asyncio
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Bytes that the head of a request may have.
HEAD_BYTES = 1 << 15
PIECE = 1 << 12


class PatientOnce(H11Protocol):
    """Closes a connection whose request has not come whole, up to the end of its head, after ``head_seconds``.

    The server itself only closes connections that are silent after a request; one that sends a header line now and then
    would hold its place for ever.
    """

    head_seconds = 15.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._waited = False
        self._look = self.loop.call_later(self.head_seconds, self._look_again)

    def data_received(self, data: bytes) -> None:
        # The parser bounds what of a head has not come whole: one that comes whole at once is shown to it in pieces.
        while data and not self.transport.is_closing():
            taken = len(data) if self.conn.their_state is h11.SEND_BODY else PIECE
            super().data_received(data[:taken])
            data = data[taken:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def _look_again(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        waiting = self.conn.their_state is h11.IDLE and not answering
        if waiting and self._waited:
            self.transport.close()
            return
        self._waited = waiting
        self._look = self.loop.call_later(self.head_seconds, self._look_again)


def config(app: ASGIApp, host: str, port: int, protocol: type[asyncio.Protocol] = PatientOnce) -> uvicorn.Config:
    """What uvicorn is to do."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        h11_max_incomplete_event_size=HEAD_BYTES,
        log_level="warning",
        access_log=False,
        server_header=False,
        # X-Forwarded-For is read by api/client_address.py, from trusted proxies alone.
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
