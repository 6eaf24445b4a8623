"""What the service costs beside the work it spreads.

    python -m benchmarks.jobs --json FILE [--parts claims,overhead,…] [--databases sqlite] [--images 1000000]

claims: shards claimed and committed per second by 1, 8 and 32 processes at once. overhead: one worker against a bare
loop over the same shards of about 30 s. posting: latency of POST /v1/jobs with the broker blackholed. recovery: seconds
from the kill -9 of a worker, or of its child, to its shard's next attempt. scaling: 1, 2, 4 and 8 workers on a sampler
that sleeps. volume: a `generate` job whose sampler draws nothing, memory of every process and time against bare I/O.
PostgreSQL is started from the machine's own binaries, with fsync off. The default sizes take about a quarter of an hour
on an idle machine of two cores, a million images as long again; `--tiny` only shows that everything runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.jobs import claims, overhead, posting, recovery, scaling, volume
from benchmarks.jobs.service import DATABASES


@dataclass(frozen=True)
class Sizes:
    """How much of everything. Times in seconds."""

    claimers: tuple[int, ...] = (1, 8, 32)
    shards_to_claim: int = 2000
    overhead_shards: int = 2
    overhead_seconds: float = 30.0
    repeats: int = 1
    posts: int = 1000
    lease: float = 60.0
    workers: tuple[int, ...] = (1, 2, 4, 8)
    shards_a_worker: int = 6
    sleep: float = 5.0
    images: int = 100_000


TINY = Sizes((1, 2), 20, 1, 0.2, 1, 5, 2.0, (1, 2), 2, 0.2, 200)
PARTS: dict[str, Callable[[Sizes, Sequence[str]], Iterable[dict[str, Any]]]] = {
    "claims": lambda sizes, databases: (
        claims.measure(name, count, sizes.shards_to_claim) for name in databases for count in sizes.claimers
    ),
    "overhead": lambda sizes, databases: (
        overhead.measure(name, sizes.overhead_shards, sizes.overhead_seconds, sizes.repeats) for name in databases
    ),
    "posting": lambda sizes, _databases: [posting.measure(sizes.posts)],
    "recovery": lambda sizes, databases: (
        recovery.measure(name, victim, sizes.lease) for name in databases for victim in recovery.VICTIMS
    ),
    "scaling": lambda sizes, databases: (
        row for name in databases for row in scaling.measure(name, sizes.workers, sizes.shards_a_worker, sizes.sleep)
    ),
    # A tenth of it as well: what does not grow between the two does not grow with the dataset.
    "volume": lambda sizes, _databases: (volume.measure(images) for images in (sizes.images // 10, sizes.images)),
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure the chosen parts, print each row as it comes, write all of them as JSON after every row."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.jobs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--parts", type=_of(PARTS), default=tuple(PARTS), metavar="NAMES", help=",".join(PARTS))
    parser.add_argument(
        "--databases", type=_of(DATABASES), default=DATABASES, metavar="NAMES", help=",".join(DATABASES)
    )
    parser.add_argument("--images", type=int, metavar="N", help="of the large job [100000]")
    parser.add_argument("--tiny", action="store_true", help="sizes without meaning for speed")
    given = parser.parse_args(words)
    sizes = TINY if given.tiny else Sizes()
    if given.images is not None:
        sizes = replace(sizes, images=given.images)
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0], "tiny": given.tiny}
    found: dict[str, Any] = {"machine": machine, "parts": {}}
    for part in given.parts:
        rows = found["parts"][part] = []
        print(part)
        for row in PARTS[part](sizes, given.databases):
            rows.append(row)
            print("  " + "  ".join(f"{name} {_short(value)}" for name, value in row.items()), flush=True)
            given.json.write_text(json.dumps(found, indent=1) + "\n")


def _of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads names with commas between them; argparse names the option when it raises."""

    def names(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return chosen

    return names


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
