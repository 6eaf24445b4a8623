"""Volume: one job of many images through the real service, though nothing is drawn: memory, and time against I/O."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.jobs.service import running_api, running_program, wait_until
from store.job_kinds.generate_estimate import candidates
from tests.e2e import tiny

_PIECE = bytes(1 << 20)
_LOOK_SECONDS = 0.5
_HOURS = 6 * 3600.0


def measure(images: int) -> dict[str, Any]:
    """One row: a `generate` job of so many images, asked for and followed over HTTP. Peaks are MiB resident."""
    with TemporaryDirectory(prefix="offhand-jobs-") as folder:
        home = Path(folder)
        generator = tiny.write_generator(home / "generators")
        tiny.write_labels(home / "labels.zip", generator)
        environment = os.environ | {
            "OFFHAND_HOME": str(home / "data"),
            "OFFHAND_GENERATORS_FOLDER": str(home / "generators"),
            "OFFHAND_LOG_LEVEL": "error",
            "OFFHAND_WORKER__DEVICE": "cpu",
            "OFFHAND_WORKER__MIN_RECONSTRUCTION_PSNR": "0",
            "OMP_NUM_THREADS": "1",
        }
        with (
            running_api(environment) as (api, url),
            running_program(environment, "benchmarks.jobs.worker", "benchmarks.jobs.volume_steps") as worker,
            httpx.Client(base_url=url, timeout=60) as http,
            _watched({"api": api, "supervisor": worker}) as peaks,
        ):
            began = time.monotonic()
            job = _done(http, (home / "labels.zip").read_bytes(), images)
            wall = time.monotonic() - began
            manifest = _streamed(http, f"/v1/datasets/{job['result']['dataset']}/manifest")
        bytes_drawn = int(manifest["bytes"] * candidates(images, 0.1) / images)
        return {
            "images": images,
            "shards": len(manifest["shards"]),
            "wall_s": wall,
            **{f"{step['name']}_s": _seconds(step) for step in job["steps"] if step["name"] in ("sample", "finalize")},
            "bare_io_s": _bare(home, bytes_drawn, manifest["bytes"]),
            "dataset_mib": manifest["bytes"] / 2**20,
            **{f"{name}_peak_mib": peak / 1024 for name, peak in sorted(peaks.items())},
        }


def _done(http: httpx.Client, labels: bytes, images: int) -> dict[str, Any]:
    wait_until(lambda: http.get("/readyz").status_code == 200, "the worker")
    upload = http.post("/v1/uploads", content=labels, headers={"Content-Type": "application/zip"}).raise_for_status()
    body = {"kind": "generate", "labels": upload.json()["id"], "generator": tiny.NAME, "count": images, "seed": 0}
    url = http.post("/v1/jobs", json=body).raise_for_status().json()["urls"]["self"]
    wait_until(lambda: http.get(url).json()["state"] in ("succeeded", "failed"), "the job's end", _HOURS, pause=1.0)
    job: dict[str, Any] = http.get(url).json()
    if job["state"] != "succeeded":
        raise RuntimeError(f"the job failed: {job['error']}")
    return job


def _streamed(http: httpx.Client, url: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(http.get(url, follow_redirects=True).raise_for_status().content)
    return manifest


def _seconds(step: dict[str, Any]) -> float:
    start, end = (datetime.fromisoformat(step[name]) for name in ("started_at", "finished_at"))
    return (end - start).total_seconds()


def _bare(home: Path, drawn: int, delivered: int) -> float:
    """Seconds to write the bytes drawn, and to read them while writing those delivered: what a job does at least."""
    began = time.monotonic()
    with (home / "drawn").open("wb") as file:
        for _ in range(drawn // len(_PIECE) + 1):
            file.write(_PIECE)
        os.fsync(file.fileno())
    left = delivered
    with (home / "drawn").open("rb") as source, (home / "delivered").open("wb") as target:
        while piece := source.read(len(_PIECE)):
            if left > 0:
                left -= target.write(piece)
        os.fsync(target.fileno())
    return time.monotonic() - began


@contextmanager
def _watched(processes: dict[str, subprocess.Popen[bytes]]) -> Iterator[dict[str, int]]:
    """The most KiB resident of each process, and of the children of the supervisor as `child`, while the block runs."""
    peaks: dict[str, int] = defaultdict(int)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            for name, process in processes.items():
                peaks[name] = max(peaks[name], _resident(process.pid))
            for child in _children(processes["supervisor"].pid):
                peaks["child"] = max(peaks["child"], _resident(child))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def _resident(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)


def _children(process: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []
