"""Heads of requests over a real socket: their bound holds however they come, and bodies behind them stay whole."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.protocol import uvicorn_server
from api.protocol.uvicorn_server import HEAD_BYTES, PIECE, config


async def size_of_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body that came."""
    if scope["type"] == "http":
        body = await Request(scope, receive).body()
        await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without a look at the body."""
    if scope["type"] == "http":
        await PlainTextResponse("no", 409)(scope, receive, send)


class Hurried(uvicorn_server.PatientOnce):
    head_seconds = 0.3


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    running = uvicorn.Server(config(app, "127.0.0.1", 0, Hurried))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(size_of_body) as port:
        yield port


@pytest.fixture(scope="module")
def refusing() -> Iterator[int]:
    with served(refuse) as port:
        yield port


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


def problem_in(answer: bytes) -> dict[str, Any]:
    """The problem document of an answer to a request that is not HTTP, after a look at its headers."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert "content-type: application/problem+json" in lines
    assert "connection: close" in lines
    assert "x-content-type-options: nosniff" in lines
    document: dict[str, Any] = json.loads(body)
    assert f"x-request-id: {document['request_id']}" in lines
    assert str(document["status"]) == lines[0].split()[1]
    return document


def request(filler: int, body: bytes = b"", connection: str = "close") -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nContent-Length: {len(body)}\r\nX-Filler: "
    return head.encode() + b"x" * filler + b"\r\n\r\n" + body


@pytest.mark.parametrize("filler", [2 * HEAD_BYTES, 6 * HEAD_BYTES])
def test_a_whole_head_that_is_too_large_is_refused_once(port: int, filler: int) -> None:
    answer = exchange(port, request(filler))
    assert b"HTTP/1.1 200" not in answer
    assert answer.startswith(b"HTTP/1.1 431")
    assert answer.count(b"HTTP/1.1") == 1
    assert problem_in(answer)["code"] == "head_too_large"


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


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # a TLS hello
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\n\r\n",
        GET + b"X-A: b\r\n folded\r\n\r\n",
        GET + b"X-A: b\r\n\tfolded\r\n\r\n",
        GET + b"X-A: b\0c\r\n\r\n",
        GET + b"X-A : b\r\n\r\n",
        GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        GET + b"Content-Length: +5\r\n\r\nhello",
        GET + CHUNKED + b"\r\nzz\r\nhello",
        GET + CHUNKED + b"\r\n0\r\nX-A: b\n\r\n",  # a bare line feed in the trailers
    ],
)
def test_what_is_not_http_is_refused_with_a_problem_document(port: int, sent: bytes) -> None:
    answer = exchange(port, sent)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert problem_in(answer)["code"] == "malformed_request"


def test_unknown_transfer_coding_is_not_implemented(port: int) -> None:
    assert problem_in(exchange(port, GET + b"Transfer-Encoding: gzip\r\n\r\n"))["status"] == 501


@pytest.mark.parametrize("first", [b"Content-Length: 4\r\n" + CHUNKED, CHUNKED + b"Content-Length: 4\r\n"])
def test_content_length_with_chunked_is_refused_and_closes_the_connection(port: int, first: bytes) -> None:
    smuggled = b"0\r\n\r\n" + request(0, b"b" * 7)
    answer = exchange(port, GET + first + b"\r\n" + smuggled)
    assert answer.count(b"HTTP/1.1") == 1
    assert problem_in(answer)["status"] == 400


def test_a_second_request_that_is_not_http_is_refused_after_the_first_answer(port: int) -> None:
    answer = exchange(port, request(0, b"b" * 7, "keep-alive") + b"nonsense\r\n\r\n")
    first, second = answer.split(b"7 bytes")
    assert first.startswith(b"HTTP/1.1 200")
    assert problem_in(second)["status"] == 400


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_answer_before_the_body_was_read_is_not_lost(refusing: int, connection: bytes) -> None:
    """The caller sends on for longer than the answer takes, and may still read it: there is no reset."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\nConnection: " + connection + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", refusing), timeout=20) as caller:
        caller.sendall(head)
        for _ in range(8):
            time.sleep(0.02)
            caller.sendall(bytes(1_000_000))
        answer = caller.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 409")
        if connection == b"keep-alive":
            caller.sendall(GET + b"\r\n")
            assert caller.recv(1 << 16).startswith(b"HTTP/1.1 409"), "the connection goes on behind the body"


def test_rest_of_a_body_is_read_within_bounds(refusing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_server, "DRAIN_BYTES", 1_000_000)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", refusing), timeout=20) as caller:
        caller.sendall(head)
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the sends meets the end is not known
            for _ in range(1000):
                caller.sendall(bytes(1_000_000))


def test_connections_are_kept_longer_than_proxies_keep_them(port: int) -> None:
    assert config(size_of_body, "127.0.0.1", 0).timeout_keep_alive == 75
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        for _ in range(2):
            caller.sendall(request(0, b"b", "keep-alive"))
            answer = b""
            while not answer.endswith(b"1 bytes"):
                answer += caller.recv(1 << 16) or b"(closed)1 bytes"
            assert b"(closed)" not in answer
            time.sleep(1.0)  # of impatience there are two looks, each 0.3 s
