"""A TCP proxy between a program and its server, which delays, cuts and swallows as the test says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Self

#: A server error as an S3-compatible server says it, to be sent in place of an answer.
SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Forwards to `port` on the loopback interface. Its attributes may be changed at any time.

    `delay`: seconds before each piece goes on. `blackhole`: connections are taken, nothing goes on. `meddle(sent)`:
    asked with each piece that the client sent; what it returns is done once with this connection: `lose_reply` (the
    piece goes on, the answer does not), `truncate` (half of the piece goes on), `refuse` (SERVER_ERROR is the answer).
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.blackhole = False
        self.meddle: Callable[[bytes], str | None] = lambda _sent: None
        self._target = port
        self._links: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection that there is."""
        for link in list(self._links):
            _close(link)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            server.settimeout(None)
        except OSError:
            _close(client)
            return
        self._links |= {client, server}
        threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()
        self._pump(client, server, True)

    def _pump(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                while self.blackhole:
                    time.sleep(0.05)
                time.sleep(self.delay)
                if from_client and self._meddled(data, source, target):
                    break
                target.sendall(data)
        for link in (source, target):
            self._links.discard(link)
            _close(link)

    def _meddled(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        """True when the connection has had its fault and is over."""
        match self.meddle(data):
            case "lose_reply":
                # Nothing comes back any more, but what was sent arrives and is worked on.
                _close(client)
                server.sendall(data)
                time.sleep(0.3)
            case "truncate":
                server.sendall(data[: len(data) // 2])
            case "refuse":
                client.sendall(SERVER_ERROR)
            case _:
                return False
        return True


def _close(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()


def once(fault: str, word: bytes) -> Callable[[bytes], str | None]:
    """A `meddle` that has the fault the first time that `word` is sent."""
    left = [fault]

    def meddle(sent: bytes) -> str | None:
        return left.pop() if left and word in sent else None

    return meddle
