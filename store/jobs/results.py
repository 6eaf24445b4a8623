"""Results of the committed shards of a step, for the steps after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from store.database.database import Database
from store.tables import shards

#: Rows read in one query: a step may have many thousands.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class ShardResult:
    """A committed shard: what it was about and the `value` it was committed with."""

    position: int
    input: dict[str, Any]
    value: dict[str, Any]


def shard_results(db: Database, job_id: str, step: str) -> Iterator[ShardResult]:
    """Committed shards of a step in their order."""
    last = -1
    while True:
        query = (
            select(shards.c.position, shards.c.input, shards.c.result)
            .where(shards.c.job_id == job_id, shards.c.step == step, shards.c.state == "succeeded")
            .where(shards.c.position > last)
            .order_by(shards.c.position)
            .limit(_BATCH)
        )
        with db.read() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return
        for row in rows:
            yield ShardResult(row.position, row.input, row.result)
        last = rows[-1].position
