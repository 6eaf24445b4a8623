"""POST latency: `POST /v1/jobs` at the real API beside a worker and a relay whose broker is silent."""

from __future__ import annotations

import io
import json
import os
import socket
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.jobs.service import running_api, running_program, wait_until

_GENERATOR = {
    "config": {"resolution": [64, 64], "w_dim": 256},
    "info": {"name": "standin", "digest": "ab" * 32, "licence": "CC0-1.0", "domain": "none"},
}


def measure(posts: int) -> dict[str, Any]:
    """One row: `posts` jobs posted one after the other."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="offhand-jobs-")))
        # The kernel accepts the connections; they are never read.
        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        environment = _environment(home, hole.getsockname()[1])
        _, url = stack.enter_context(running_api(environment))
        for words in (["worker", "--device", "cpu"], ["worker.service.relay"]):
            stack.enter_context(running_program(environment, *words))
        http = stack.enter_context(httpx.Client(base_url=url, timeout=60))
        wait_until(lambda: http.get("/readyz").status_code == 200, "the worker")
        upload = http.post("/v1/uploads", content=_archive(), headers={"Content-Type": "application/zip"})
        body = {"kind": "generate", "labels": upload.raise_for_status().json()["id"], "generator": "standin"}
        waits = []
        for number in range(posts):
            asked = time.perf_counter()
            answer = http.post("/v1/jobs", json={**body, "count": 1 + number})
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


def _environment(home: Path, hole: int) -> dict[str, str]:
    """A fresh data folder, a generator to name, and the silent broker."""
    generators = home / "generators"
    (generators / "standin").mkdir(parents=True)
    (generators / "standin" / "generator.json").write_text(json.dumps(_GENERATOR))
    return os.environ | {
        "OFFHAND_HOME": str(home / "data"),
        "OFFHAND_GENERATORS_FOLDER": str(generators),
        "OFFHAND_BROKER__URL": f"redis://127.0.0.1:{hole}/0",
        "OFFHAND_LIMITS__QUEUED_JOBS": "1000000",
        "OFFHAND_LIMITS__REQUESTS_PER_MINUTE": "1000000",
        "OFFHAND_LOG_LEVEL": "error",
    }


def _archive() -> bytes:
    """A complete zip, which is never read."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("classes.json", '["background", "head"]')
    return out.getvalue()
