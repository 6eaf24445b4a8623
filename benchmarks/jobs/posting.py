"""POST latency: `POST /v1/jobs` at the real API beside a worker whose broker is silent."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.jobs.service import wait_until
from tests.servers import free_port

_GENERATOR = {
    "config": {"resolution": [64, 64], "w_dim": 256},
    "info": {"name": "standin", "digest": "ab" * 32, "licence": "CC0-1.0", "domain": "none"},
}


def measure(posts: int) -> dict[str, Any]:
    """One row: `posts` jobs posted one after the other."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="offhand-jobs-")))
        # The kernel takes the connections; nobody ever reads from them.
        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = _start(stack, home, hole.getsockname()[1])
        http = stack.enter_context(httpx.Client(base_url=url, timeout=60))
        wait_until(lambda: http.get("/readyz").status_code == 200, "the worker")
        upload = http.post("/v1/uploads", content=_archive(), headers={"Content-Type": "application/zip"})
        wish = {"kind": "generate", "labels": upload.raise_for_status().json()["id"], "generator": "standin"}
        waits = []
        for number in range(posts):
            asked = time.perf_counter()
            answer = http.post("/v1/jobs", json={**wish, "count": 1 + number})
            waits.append(1000 * (time.perf_counter() - asked))
            if answer.status_code != 202:
                raise RuntimeError(f"POST /v1/jobs: {answer.status_code} {answer.text}")
    return {
        "broker": "blackholed",
        "posts": posts,
        "ms_median": median(waits),
        "ms_p99": quantiles(waits, n=100, method="inclusive")[-1],
        "ms_max": max(waits),
    }


def _start(stack: ExitStack, home: Path, hole: int) -> str:
    """API and worker over a fresh data folder, listening; the API's URL."""
    generators, port = home / "generators", free_port()
    (generators / "standin").mkdir(parents=True)
    (generators / "standin" / "generator.json").write_text(json.dumps(_GENERATOR))
    environment = os.environ | {
        "OFFHAND_HOME": str(home / "data"),
        "OFFHAND_GENERATORS_FOLDER": str(generators),
        "OFFHAND_API__PORT": str(port),
        "OFFHAND_BROKER__URL": f"redis://127.0.0.1:{hole}/0",
        "OFFHAND_LIMITS__QUEUED_JOBS": "1000000",
        "OFFHAND_LIMITS__REQUESTS_PER_MINUTE": "1000000",
        "OFFHAND_LOG_LEVEL": "error",
    }
    url = f"http://127.0.0.1:{port}"
    _run(stack, environment, "api")
    wait_until(lambda: _answers(url), "the API")
    _run(stack, environment, "worker", "--device", "cpu")
    return url


def _run(stack: ExitStack, environment: dict[str, str], *words: str) -> None:
    # What the worker says of its broker is the point of the exercise, not news.
    process = subprocess.Popen([sys.executable, "-m", *words], env=environment, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _archive() -> bytes:
    """A zip that is whole; nobody gets as far as reading it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("classes.json", '["background", "head"]')
    return out.getvalue()
