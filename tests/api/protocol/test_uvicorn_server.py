"""The real server over real sockets: streams, cut connections, restarts, and the whole job with curl alone."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from store.database.database import Database
from store.jobs.events import record
from store.objects import ObjectStore
from store.settings import Settings
from tests.api.worlds import end_job, finish_dataset, shard_bytes
from tests.serving import ApiProcess

LIMIT = 3_000_000
ZIP = {"Content-Type": "application/zip"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, generators: Path, fresh_database: Path) -> Settings:
    """One data folder for all tests here, as they share the server."""
    home = tmp_path_factory.mktemp("served")
    shutil.copyfile(fresh_database, home / "offhand.sqlite3")
    return Settings(home=home, generators_folder=str(generators))


@pytest.fixture(scope="module")
def running(settings: Settings, generators: Path) -> Iterator[ApiProcess]:
    with ApiProcess(settings.home, generators, OFFHAND_LIMITS__UPLOAD_BYTES=str(LIMIT)) as process:
        yield process


@pytest.fixture
def server(running: ApiProcess) -> ApiProcess:
    """The server, started again where the test before has ended it."""
    if running.process is None:
        running.start()
    return running


@pytest.fixture
def job(server: ApiProcess, archive: bytes) -> dict[str, Any]:
    upload = httpx.post(f"{server.url}/v1/uploads", content=archive, headers=ZIP).json()["id"]
    wish = {"labels": upload, "generator": "tiny", "count": 20}
    document: dict[str, Any] = httpx.post(f"{server.url}/v1/jobs", json=wish).json()
    return document


def kept_files(settings: Settings) -> set[Path]:
    return {path for path in settings.objects_folder.rglob("*") if path.is_file()}


def test_too_large_is_refused_while_it_streams(server: ApiProcess, settings: Settings) -> None:
    before, sent = kept_files(settings), 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield b"PK\x03\x04"
        for _ in range(2000):
            sent += 1 << 18
            yield bytes(1 << 18)

    with httpx.Client() as http:
        answer = http.post(f"{server.url}/v1/uploads", content=body(), headers=ZIP)
    assert answer.status_code == 413
    assert sent < 100 * LIMIT
    assert kept_files(settings) == before


def test_a_cut_connection_leaves_nothing(server: ApiProcess, settings: Settings) -> None:
    before = kept_files(settings)
    uploads = httpx.get(f"{server.url}/v1/uploads").json()["items"]
    head = (
        f"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "Content-Type: application/zip\r\nContent-Length: 2000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"PK\x03\x04" + bytes(1_500_000))
        until(lambda: kept_files(settings) != before)
    until(lambda: kept_files(settings) == before)
    assert httpx.get(f"{server.url}/v1/uploads").json()["items"] == uploads


def until(condition: Any, seconds: float = 20.0) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_a_download_goes_on_after_the_server_was_killed(
    server: ApiProcess, job: dict[str, Any], db: Database, objects: ObjectStore
) -> None:
    finish_dataset(db, objects, job)
    url = f"{server.url}{job['urls']['result']}/shards/000000.tar"
    with httpx.stream("GET", url) as answer:
        first = next(answer.iter_bytes(1000))
        etag = answer.headers["etag"]
    server.kill()
    server.start()
    rest = httpx.get(url, headers={"Range": f"bytes={len(first)}-", "If-Range": etag})
    assert rest.status_code == 206
    assert sha256(first + rest.content).hexdigest() == sha256(shard_bytes(0)).hexdigest()
    assert httpx.get(f"{server.url}{job['urls']['self']}").json()["state"] == "succeeded"


def test_a_stream_tells_as_it_happens(server: ApiProcess, job: dict[str, Any], db: Database) -> None:
    def work() -> None:
        for step in ("validate", "invert"):
            time.sleep(0.3)
            with db.write() as connection:
                record(connection, job["id"], "step.finished", step=step)
        with db.write() as connection:
            end_job(connection, job["id"], "failed")

    worker = threading.Thread(target=work)
    names, times = [], []
    with httpx.stream(
        "GET", f"{server.url}{job['urls']['events']}", headers={"Accept": "text/event-stream"}, timeout=30
    ) as answer:
        worker.start()
        for line in answer.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
                times.append(time.monotonic())
    worker.join()
    assert names == ["job.queued", "step.finished", "step.finished", "job.failed"]
    assert times[-1] - times[0] > 0.4


def test_sigterm_ends_it_although_somebody_listens(server: ApiProcess, job: dict[str, Any]) -> None:
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("GET", f"{server.url}{job['urls']['events']}", headers=headers, timeout=30) as answer:
        next(answer.iter_lines())
        assert server.terminate() < 10


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_whole_job_with_curl_alone(
    server: ApiProcess, archive: bytes, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    def curl(*arguments: str) -> bytes:
        command = ["curl", "--silent", "--show-error", "--fail-with-body", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout

    (tmp_path / "heads50.zip").write_bytes(archive)
    upload = json.loads(
        curl("--data-binary", "@heads50.zip", "-H", "Content-Type: application/zip", f"{server.url}/v1/uploads")
    )
    wish = {"labels": upload["id"], "generator": "tiny", "count": 20}
    job = json.loads(curl("--json", json.dumps(wish), f"{server.url}/v1/jobs"))
    finish_dataset(db, objects, job)
    assert json.loads(curl(f"{server.url}/v1/jobs/{job['id']}"))["state"] == "succeeded"
    curl("--remote-name", "--remote-header-name", f"{server.url}{job['urls']['result']}/archive")
    (archived,) = tmp_path.glob("ds_*.tar")
    subprocess.run(["tar", "-xf", archived.name], cwd=tmp_path, check=True)
    folder = tmp_path / archived.stem
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert (folder / "shards" / "000000.tar").read_bytes() == shard_bytes(0)
