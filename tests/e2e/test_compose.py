"""The deployment that docker-compose.yml describes does a job: every program of ours by its own command."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from offhand.sdk.client import Client
from tests.e2e import tiny
from tests.e2e.composed import Composed
from tests.e2e.conftest import SETTINGS, Material
from tests.e2e.processes import PACE
from tests.servers import PostgresServer, RedisServer, free_port, wait_until

#: Those that a machine without a GPU starts (`--profile cpu --scale worker=0`).
OURS = ("api", "relay", "packer", "worker-cpu", "deliverer")
SECONDS = 120.0


class Receiver(ThreadingHTTPServer):
    """Keeps the webhooks that it gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.told: list[dict[str, Any]] = []


class Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def composed(
    repository: Path,
    material: Material,
    postgres_server: PostgresServer,
    postgres_url: str,
    redis_server: RedisServer,
    port: int,
    tmp_path: Path,
) -> Iterator[Composed]:
    places = {
        "@postgres/offhand": f"@127.0.0.1:{postgres_server.port}/{postgres_url.rpartition('/')[2]}",
        "redis:6379": f"127.0.0.1:{redis_server.port}",
        "127.0.0.1:8321": f"127.0.0.1:{port}",
        "/data": str(tmp_path / "data"),
    }
    more = {
        **PACE,
        # Nobody dies here, and on a busy machine a short lease ends by itself.
        "OFFHAND_WORKER__LEASE_SECONDS": "60",
        "OFFHAND_WORKER__MIN_RECONSTRUCTION_PSNR": "0",
        "HOME": str(tmp_path),
        "OFFHAND_API__PORT": str(port),
        "OFFHAND_GENERATORS_FOLDER": str(material.shipped),
        "OFFHAND_EGRESS__TRUSTED_HOSTS": '["127.0.0.1"]',
    }
    made = Composed(repository, places, more, tmp_path)
    yield made
    made.kill()


@pytest.mark.slow
def test_the_composed_service_does_a_job_and_says_so(
    composed: Composed, receiver: Receiver, material: Material, port: int, tmp_path: Path
) -> None:
    for name in OURS:
        composed.start(name)
        if name == "api":
            wait_until(lambda: composed.is_healthy("api"), "the API", SECONDS)
    key = composed.run("api", "python", "-m", "api.keys", "create", "--tenant", "me").strip()
    with Client(f"http://127.0.0.1:{port}", api_key=key) as client:
        client.connection.http.post(
            "/v1/webhook-endpoints", json={"url": f"http://127.0.0.1:{receiver.server_port}/"}
        ).raise_for_status()
        job = client.datasets.generate(material.labels, tiny.NAME, 6, **SETTINGS)
        ended = client.jobs.wait(job["id"], timeout=SECONDS)
        assert (ended["state"], ended["counts"]["done"]) == ("succeeded", 6)
        assert composed.is_healthy("relay")
        assert composed.is_healthy("packer")
        client.datasets.download(ended["result"]["dataset"], tmp_path / "dataset")
    manifest = json.loads((tmp_path / "dataset" / "manifest.json").read_text())
    assert (manifest["count"], manifest["complete"]) == (6, True)
    wait_until(lambda: bool(receiver.told), "the webhook", SECONDS)
    assert receiver.told[0]["type"] == "job.succeeded"
    assert job["id"] in json.dumps(receiver.told[0]["data"])
