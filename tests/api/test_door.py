"""The door: heads and bodies that are too large or too slow, and what never stands in a log."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.protocol.middleware import SECURITY_HEADERS
from api.protocol.request_bodies import Impatience
from api.protocol.uvicorn_server import HEAD_BYTES, PatientOnce, config
from store.database.database import open_database
from store.settings import Settings
from store.tenancy.api_keys import create_key
from store.tenancy.tenants import add_tenant
from tests.servers import free_port
from tests.serving import ApiProcess


class Hurried(PatientOnce):
    head_seconds = 0.3


@pytest.fixture
def port(app: FastAPI) -> Iterator[int]:
    """The application, served with little patience."""
    port = free_port()
    server = uvicorn.Server(config(Impatience(app, grace=0.5), "127.0.0.1", port, Hurried))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join()


def exchange(port: int, sent: bytes) -> bytes:
    """All that the server says before it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
        return answer


def test_a_head_that_never_ends_is_cut_off(port: int) -> None:
    assert exchange(port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n") == b""
    assert exchange(port, b"") == b""


def test_a_head_that_is_too_large_is_refused(port: int) -> None:
    huge = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Filler: " + b"x" * (2 * HEAD_BYTES)
    assert exchange(port, huge).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/uploads"])
def test_a_body_that_stops_coming_is_given_up(port: int, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\nContent-Type: application/"
    kind = "json" if path == "/v1/jobs" else "zip"
    answer = exchange(port, f"{head}{kind}\r\n\r\nPK".encode())
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"too_slow"' in answer


def test_a_stream_may_be_as_slow_as_it_likes(port: int) -> None:
    answers = [httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=20) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/jobs", "/v1/nothing", "/openapi.json", "/static/icon.svg"])
def test_every_answer_has_the_headers_of_a_careful_one(http: TestClient, path: str) -> None:
    answer = http.get(path, headers={"Origin": "https://elsewhere.example"})
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "server" not in answer.headers


def test_pages_of_elsewhere_get_no_leave(http: TestClient) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    answer = http.options("/v1/jobs", headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_no_secret_stands_in_a_log(settings: Settings, generators: Any, archive: bytes) -> None:
    """A whole run with keys, webhooks, wrong keys and errors, at the most talkative level."""
    database = open_database(settings)
    add_tenant(database, "acme")
    first = create_key(database, tenant="acme", name="test", scopes=["admin"], days=1).secret or ""
    database.close()
    trusted = {"OFFHAND_EGRESS__TRUSTED_HOSTS": '["127.0.0.1"]'}
    with ApiProcess(
        settings.home, generators, OFFHAND_API__KEYS="required", OFFHAND_LOG_LEVEL="debug", **trusted
    ) as server:
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {first}"}) as http:
            second = http.post("/v1/api-keys", json={"name": "ci"}).json()["key"]
            hook = http.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:1/hook?token=in-the-url"}).json()
            secrets = [http.post(f"/v1/webhook-endpoints/{hook['id']}/rotate-secret").json()["secret"]]
            labels = http.post("/v1/uploads", content=archive, headers={"Content-Type": "application/zip"}).json()
            job = http.post("/v1/jobs", json={"labels": labels["id"], "generator": "tiny", "count": 5}).json()
            http.post(f"/v1/jobs/{job['id']}/cancel")
            http.post("/v1/jobs", content=b"{", headers={"Content-Type": "application/json"})
            http.get("/v1/jobs", headers={"Authorization": "Bearer ofh_a-wrong-key-of-somebody"})
            http.get("/", headers={"Authorization": "Basic bWU6b2ZoX3Bhc3N3b3Jk"})
        log = server.log.read_text()
    assert job["id"] in log
    assert '"write.audited"' in log
    found = [s for s in (first, second, hook["secret"], *secrets, "a-wrong-key", "bWU6", "in-the-url") if s in log]
    assert not found
