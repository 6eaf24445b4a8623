"""Indices of the samples that a job has: all from its offset on, but for those that a partial job has to do without."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Self

from store.database.database import Database
from store.job_kinds.generate_shards import SampleRange
from store.jobs.results import shard_results
from store.jobs.views import has_shards


@dataclass(frozen=True)
class Drawn:
    """Candidates are counted by place, 0 to below their number; a sample's index is its place in the seed's stream."""

    ranges: tuple[tuple[int, int], ...]
    """(first, last + 1) of the indices in each committed shard, ascending."""
    lacking: bool
    """Whether some could not be made."""
    batch: int = 0
    """Images drawn at once, the same for all samples of a job; 0 where none was drawn."""

    @classmethod
    def of(cls, db: Database, job_id: str) -> Self:
        """Read from the committed shards of a `generate` job."""
        inputs = [SampleRange.of(one.input) for one in shard_results(db, job_id, "sample")]
        with db.read() as connection:
            lacking = has_shards(connection, job_id, "poisoned")
        ranges = tuple(sorted((one.start, one.stop) for one in inputs))
        return cls(ranges, lacking, inputs[0].batch if inputs else 0)

    @property
    def end(self) -> int:
        """The index behind the last one."""
        return self.ranges[-1][1]

    def index(self, place: int) -> int:
        """Index of the candidate at a place."""
        at = bisect_right(self._firsts, place) - 1
        return self.ranges[at][0] + place - self._firsts[at]

    @cached_property
    def _firsts(self) -> list[int]:
        """Place of the first candidate of each range."""
        return list(accumulate((stop - start for start, stop in self.ranges[:-1]), initial=0))
