"""Shards of a stream of samples, of about equal time, which is measured with the first of them.

Shards begin and end at multiples of the batch: their samples do not depend on the cut.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from store.jobs.shards import ShardPlan
from store.settings import WorkerSettings

#: Samples in one shard at most, however fast they are drawn: an attempt that dies loses no more than these.
_MOST = 20_000


def first_shard(start: int, stop: int, batch: int, worker: WorkerSettings) -> ShardPlan:
    """The first part of the samples `start` ≤ index < `stop`, by whose time the rest will be cut. `batch`: images drawn
    at once, the same for all samples of a job.
    """
    end = min(stop, _next_bound(start, _batches(worker.shard_images, batch)))
    return ShardPlan({"start": start, "stop": end, "batch": batch, "until": stop}, end - start)


def further_shards(part: dict[str, Any], seconds: float, worker: WorkerSettings) -> tuple[ShardPlan, ...]:
    """The rest of the samples after `part`, a first shard's input that took `seconds` to draw; empty after others."""
    start, stop = part["stop"], part.get("until", part["stop"])
    per_image = max(seconds, 1e-6) / (part["stop"] - part["start"])
    step = _batches(min(_MOST, int(worker.shard_seconds / per_image)), part["batch"])
    bounds = [start, *range(_next_bound(start, step), stop, step), stop]
    return tuple(
        ShardPlan({"start": first, "stop": end, "batch": part["batch"]}, end - first)
        for first, end in pairwise(bounds)
        if end > first
    )


def _batches(images: int, batch: int) -> int:
    """So many images or fewer, as whole batches."""
    return max(1, images // batch) * batch


def _next_bound(start: int, step: int) -> int:
    return (start // step + 1) * step
