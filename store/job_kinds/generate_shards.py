"""Shards of a stream of samples, of about equal time, which is measured with the first of them.

Shards begin and end at multiples of the batch: their samples do not depend on the cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from store.jobs.shards import ShardPlan
from store.settings import WorkerSettings

#: Samples in one shard at most, however fast they are drawn: an attempt that dies loses no more than these.
_MOST = 20_000


@dataclass(frozen=True, slots=True)
class SampleRange:
    """Input of a shard of the `sample` step: the samples `start` ≤ index < `stop` of the seed's stream.

    batch: images drawn at once, the same for all samples of a job; 0 in shards of older releases.
    until: for the first shard of a stream, where the stream ends; None for the others.
    """

    start: int
    stop: int
    batch: int
    until: int | None = None

    @classmethod
    def of(cls, shard_input: Mapping[str, Any]) -> Self:
        """Return the range that a shard's stored input holds."""
        return cls(shard_input["start"], shard_input["stop"], shard_input.get("batch", 0), shard_input.get("until"))

    def plan(self) -> ShardPlan:
        """Return the shard of this range."""
        until = {} if self.until is None else {"until": self.until}
        return ShardPlan({"start": self.start, "stop": self.stop, "batch": self.batch, **until}, self.stop - self.start)


def first_shard(start: int, stop: int, batch: int, worker: WorkerSettings) -> ShardPlan:
    """The first part of the samples `start` ≤ index < `stop`, by whose time the rest will be cut. `batch`: images drawn
    at once, the same for all samples of a job.
    """
    end = min(stop, _next_bound(start, _batches(worker.shard_images, batch)))
    return SampleRange(start, end, batch, until=stop).plan()


def further_shards(part: SampleRange, seconds: float, worker: WorkerSettings) -> tuple[ShardPlan, ...]:
    """Return the rest of the stream after `part`, its first shard, which took `seconds` to draw; empty after others."""
    if part.until is None:
        return ()
    start, stop = part.stop, part.until
    per_image = max(seconds, 1e-6) / (part.stop - part.start)
    step = _batches(min(_MOST, int(worker.shard_seconds / per_image)), part.batch)
    bounds = [start, *range(_next_bound(start, step), stop, step), stop]
    return tuple(SampleRange(first, end, part.batch).plan() for first, end in pairwise(bounds) if end > first)


def _batches(images: int, batch: int) -> int:
    """So many images or fewer, as whole batches."""
    return max(1, images // batch) * batch


def _next_bound(start: int, step: int) -> int:
    return (start // step + 1) * step
