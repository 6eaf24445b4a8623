"""Overhead: one worker against a bare loop over the same shards, each some seconds of arithmetic and a small file."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.jobs.service import ROOT, ended, fresh_service, running_workers, seconds_of, submit
from benchmarks.jobs.steps import hashing


def measure(database: str, shards: int, seconds: float, repeats: int) -> dict[str, Any]:
    """One row: medians of both ways, which take turns, so that a machine that others use treats them alike."""
    rounds = _rounds(seconds)
    bare, served = [], []
    with fresh_service(database) as db, running_workers(db, 1):
        for _ in range(repeats):
            bare.append(_bare_loop(rounds, shards))
            served.append(seconds_of(ended(db, submit(db, shards=shards, rounds=rounds)).steps[1]))
    return {
        "database": database,
        "shards": shards,
        "shard_seconds": median(bare) / shards,
        "bare_s": median(bare),
        "service_s": median(served),
        "overhead": median(served) / median(bare) - 1,
    }


def _rounds(seconds: float) -> int:
    """How much to hash for a shard to take about so long here."""
    tried = 1000
    return max(1, round(seconds * tried / _bare_loop(tried, 1)))


def _bare_loop(rounds: int, shards: int) -> float:
    """Seconds of the loop, in a process and a session of its own as the worker's child has them, so that the machine
    shares its cores out to both alike.
    """
    command = [sys.executable, "-m", "benchmarks.jobs.overhead", str(rounds), str(shards)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True)
    return float(done.stdout)


def main(rounds: int, shards: int) -> None:
    """The loop itself; prints its seconds."""
    with TemporaryDirectory(prefix="offhand-jobs-") as folder:
        start = time.perf_counter()
        for index in range(shards):
            (Path(folder) / str(index)).write_bytes(hashing(rounds, index))
        print(time.perf_counter() - start)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
