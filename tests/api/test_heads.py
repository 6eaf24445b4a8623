"""Heads of requests over a real socket: their bound holds however they come, and bodies behind them stay whole."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api.server import HEAD_BYTES, PIECE, config


async def size_of_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body that came."""
    if scope["type"] == "http":
        body = await Request(scope, receive).body()
        await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = uvicorn.Server(config(size_of_body, "127.0.0.1", 0))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def exchange(port: int, *sent: bytes) -> bytes:
    """All that the server says until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for piece in sent:
            connection.sendall(piece)
            time.sleep(0.05)
        answer = b""
        # A server that closes before it has read everything resets the connection.
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(1 << 16):
                answer += piece
        return answer


def request(filler: int, body: bytes = b"", connection: str = "close") -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nContent-Length: {len(body)}\r\nX-Filler: "
    return head.encode() + b"x" * filler + b"\r\n\r\n" + body


@pytest.mark.parametrize("filler", [2 * HEAD_BYTES, 6 * HEAD_BYTES])
def test_a_whole_head_that_is_too_large_is_refused_once(port: int, filler: int) -> None:
    answer = exchange(port, request(filler))
    assert b"HTTP/1.1 200" not in answer
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") <= 1


def test_a_head_may_have_what_is_allowed(port: int) -> None:
    assert exchange(port, request(HEAD_BYTES - 200)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("size", [0, 1, PIECE, 1_000_003])
def test_a_body_behind_a_head_comes_whole(port: int, size: int) -> None:
    assert exchange(port, request(0, b"b" * size)).endswith(b"\r\n\r\n%d bytes" % size)


def test_requests_that_come_together_are_answered_each(port: int) -> None:
    first, second = request(PIECE, b"b" * PIECE, "keep-alive"), request(10, b"b" * 7)
    answer = exchange(port, first + second)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.endswith(b"7 bytes")
