"""The door under load: latencies at a given rate of arrivals, event streams, files in and out, memory.

    python -m benchmarks.api --json FILE [--rate 50] [--seconds 20] [--listeners 500] [--mib 1024] [--core 0]

A service of its own runs on one core, over SQLite and a folder; who asks runs on the others. Requests arrive at their
times whatever became of those before (an open loop), and each latency counts from when its request was due, so that
waiting in line is seen; jobs are listed when all that were posted are there. Files go through the same client to the
service and to a plain server that writes with one copy and sends with `sendfile`; both write to the same disk, of which
four times the file is needed, and call fsync. An upload is hashed by the service, and in parts by the sender as well.
Memory is what the service held at most beyond what it held before (Linux's high-water mark).
"""

import argparse
import asyncio
import io
import json
import multiprocessing
import os
import platform
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from sqlalchemy import update

from benchmarks.load import Row, open_loop, percentiles
from offhand.documents import Job
from offhand.sdk.client import Client
from offhand.sdk.uploads import send_at_once, send_in_parts, sha256_of
from store import tables
from store.database.database import open_database
from store.objects import open_objects
from store.resources import datasets
from store.resources.dataset_reports import DatasetReport
from store.resources.files import File, add_files
from store.settings import Settings

CHUNK = 1 << 20
BINARY = {"Content-Type": "application/octet-stream"}


@contextmanager
def service(folder: Path, core: int | None) -> Iterator[tuple[str, int]]:
    """``python -m api`` with one generator and without limits; its address and process id."""
    (folder / "generators" / "tiny").mkdir(parents=True)
    described = {
        "config": {"resolution": [64, 64], "w_dim": 256},
        "info": {"name": "tiny", "digest": "ab" * 32, "licence": "CC0-1.0", "domain": "none"},
    }
    (folder / "generators" / "tiny" / "generator.json").write_text(json.dumps(described))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    without_limits = {
        f"OFFHAND_LIMITS__{name}": str(10**15)
        for name in ("UPLOAD_BYTES", "STORED_BYTES", "QUEUED_JOBS", "REQUESTS_PER_MINUTE")
    }
    own = {
        "OFFHAND_HOME": str(folder / "home"),
        "OFFHAND_API__PORT": str(port),
        "OFFHAND_GENERATORS_FOLDER": str(folder / "generators"),
        "OFFHAND_LOG_LEVEL": "error",
    }
    with subprocess.Popen([sys.executable, "-m", "api"], env=os.environ | own | without_limits) as process:
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            url = f"http://127.0.0.1:{port}"
            while process.poll() is None:
                try:
                    httpx.get(f"{url}/healthz", timeout=5.0)
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield url, process.pid
        finally:
            process.terminate()


class Plain(BaseHTTPRequestHandler):
    """One file in, one file out, and nothing else."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        with Path("received").open("wb") as file:
            while left:
                left -= file.write(self.rfile.read(min(CHUNK, left)))
            file.flush()
            os.fsync(file.fileno())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        with Path("received").open("rb") as file:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            self.connection.sendfile(file)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def serve_plainly(folder: Path, core: int | None, told: Any) -> None:
    os.chdir(folder)
    if core is not None:
        os.sched_setaffinity(0, {core})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    told.send(server.server_port)
    server.serve_forever()


@contextmanager
def plain_server(folder: Path, core: int | None) -> Iterator[str]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve_plainly, args=(folder, core, theirs))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def start_job(client: Client) -> Job:
    """A job that waits for ever, as there is no worker."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("classes.json", '["background", "head"]')
    headers = {"Content-Type": "application/zip"}
    labels = client.connection.request("POST", "/v1/uploads", content=out.getvalue(), headers=headers).json()["id"]
    return client.datasets.generate(labels, "tiny", 20, seed=1)


async def fan_out(url: str, job: str, listeners: int) -> Row:
    """From a cancel to the event it makes, over all that listen to the job; milliseconds."""
    heard: list[float] = []
    ready, everybody = 0, asyncio.Event()

    async def listen() -> None:
        nonlocal ready
        first = True
        headers = {"Accept": "text/event-stream"}
        async with http.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("event:"):
                    continue
                if first:
                    first, ready = False, ready + 1
                    if ready == listeners:
                        everybody.set()
                else:
                    heard.append((time.perf_counter() - begun) * 1000)
                    return

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=120.0, limits=limits) as http, asyncio.TaskGroup() as tasks:
        for _ in range(listeners):
            tasks.create_task(listen())
        await everybody.wait()
        begun = time.perf_counter()
        (await http.post(f"/v1/jobs/{job}/cancel")).raise_for_status()
    return {"listeners": listeners, "heard": len(heard), **percentiles(heard)}


def deliver(home: Path, job: Job, path: Path) -> str:
    """End the job with a dataset of one shard, this file, as a worker would; the dataset's id."""
    settings, dataset = Settings(home=home), str(job["result"]["dataset"])
    database, objects = open_database(settings), open_objects(settings)
    with path.open("rb") as content:
        info = objects.put("benchmark/shard", content)
    manifest = objects.put("benchmark/manifest", b"{}")
    with database.write() as connection:
        shard = File(dataset, "shards/000000.tar", info.key, info.bytes, info.sha256, "application/x-tar", 20)
        listed = File(dataset, datasets.MANIFEST, manifest.key, manifest.bytes, manifest.sha256, "application/json")
        add_files(connection, "local", [shard, listed])
        datasets.finish_dataset(connection, job["id"], DatasetReport())
        connection.execute(update(tables.jobs).where(tables.jobs.c.id == job["id"]).values(state="succeeded"))
    database.close()
    return dataset


def transfer(name: str, size: int, pid: int | None, move: Callable[[], object]) -> Row:
    """Time of one transfer; where the process is the service's, the memory it took."""
    held = 0
    if pid is not None:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # reset the high-water mark
        held = memory(pid, "VmRSS")
    begun = time.perf_counter()
    move()
    seconds = time.perf_counter() - begun
    row: Row = {"transfer": name, "mib": size >> 20, "mib_per_second": round(size / 2**20 / seconds, 1)}
    if pid is not None:
        row["more_memory_mib"] = round((memory(pid, "VmHWM") - held) / 2**20, 1)
    return row


def memory(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {name} in /proc/{pid}/status")


def fetch(http: httpx.Client, path: str, size: int) -> None:
    taken = 0
    with http.stream("GET", path) as stream:
        stream.raise_for_status()
        for chunk in stream.iter_raw(CHUNK):
            taken += len(chunk)
    if taken < size:
        raise OSError(f"{path}: {taken} of {size} bytes came")


def ignored(_sent: int, _size: int) -> None:
    """Report no progress."""


def transfers(client: Client, pid: int, plain: str, folder: Path, size: int) -> list[Row]:
    """The same file in and out, through the service and through the plain server."""
    path = folder / "large.pkl"
    block = b"".join(sha256(b"%d" % n).digest() for n in range(CHUNK // 32))
    with path.open("wb") as file:
        file.write(b"\x80\x04")
        for at in range(2, size, CHUNK):
            file.write(block[: min(CHUNK, size - at)])
    rows, declared = [], {"filename": path.name, "size": size, "sha256": sha256_of(path), "purpose": "checkpoint"}

    for name, send in (("upload at once", send_at_once), ("upload in parts", send_in_parts)):
        upload = client.connection.request("POST", "/v1/uploads", json=declared).json()
        rows.append(transfer(name, size, pid, partial(send, client.connection, upload, path, ignored)))
        client.connection.request("DELETE", upload["urls"]["self"])
    dataset = deliver(folder / "home", start_job(client), path)
    places = {"shard": "shards/000000.tar", "archive": "archive", "zip archive": "archive?container=zip"}
    for name, place in places.items():
        url = f"/v1/datasets/{dataset}/{place}"
        rows.append(transfer(f"download of a {name}", size, pid, partial(fetch, client.connection.http, url, size)))
    with httpx.Client(base_url=plain, timeout=600.0) as http, path.open("rb") as file:
        pieces = iter(lambda: file.read(CHUNK), b"")
        headers = BINARY | {"Content-Length": str(size)}
        rows.append(transfer("plain upload", size, None, lambda: http.put("/", content=pieces, headers=headers)))
        rows.append(transfer("plain sendfile download", size, None, lambda: fetch(http, "/", size)))
    return rows


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, list[Row]]:
    """Every row, by what it measures."""
    core, load = arguments.core, (arguments.rate, arguments.seconds)
    with (
        service(folder, core) as (url, pid),
        plain_server(folder, core) as plain,
        Client(url, timeout=600.0) as client,
    ):
        job = start_job(client)
        body = {"kind": "generate", "labels": job["request"]["labels"], "generator": "tiny", "count": 20}
        calls = [
            ("GET", f"/v1/jobs/{job['id']}", None, "GET job"),
            ("POST", "/v1/jobs", body, "POST job"),
            ("GET", "/v1/jobs", None, "list jobs"),
            ("GET", "/v1/jobs?page_size=50", None, "list 50 jobs"),
        ]
        latency = [
            {"request": name, **asyncio.run(open_loop(url, method, path, body, *load))}
            for method, path, body, name in calls
        ]
        events = [asyncio.run(fan_out(url, job["id"], arguments.listeners))]
        size = int(arguments.mib * 2**20)
        return {"latency": latency, "events": events, "transfers": transfers(client, pid, plain, folder, size)}


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each kind of request")
    parser.add_argument("--listeners", type=int, default=500, help="streams that follow one job")
    parser.add_argument("--mib", type=float, default=1024.0, help="size of the file that goes in and out")
    parser.add_argument("--core", type=int, help="the one core of the servers; without it they may use all")
    arguments = parser.parse_args(words)
    if others := os.sched_getaffinity(0) - {arguments.core}:
        os.sched_setaffinity(0, others)  # who asks does not take time from who answers
    with TemporaryDirectory(prefix="offhand-") as folder:
        found = measure(Path(folder), arguments)
    for name, rows in found.items():
        print(name)
        for row in rows:
            print("  " + "  ".join(f"{key} {value}" for key, value in row.items()))
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
    arguments.json.write_text(json.dumps({"machine": machine, "core": arguments.core, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
