"""Scaling: the same shards for each worker, by one worker and by many, on a sampler that sleeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.jobs.service import ended, fresh_service, running_workers, seconds_of, submit


def measure(database: str, counts: Sequence[int], shards: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each number of workers, which do `shards` shards of `seconds` each. `efficiency` is the rate of `N`
    workers over `N` times the rate at which shards could be done one after the other without any service.
    """
    rows = []
    for count in counts:
        with fresh_service(database) as db, running_workers(db, count):
            step = ended(db, submit(db, shards=count * shards, seconds=seconds)).steps[1]
        took = seconds_of(step)
        rows.append(
            {
                "database": database,
                "workers": count,
                "shards": count * shards,
                "shard_seconds": seconds,
                "wall_s": took,
                "efficiency": shards * seconds / took,
            }
        )
    return rows
