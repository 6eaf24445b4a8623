"""Shards: the units of claiming, made when their step's turn comes, each with a hint in the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert

from store.database.clock import database_now
from store.ids import new_id
from store.tables import outbox, shards


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """A shard to be made: `input` for the step (any JSON object), `total` in the step's unit (0: not known yet)."""

    input: dict[str, Any] = field(default_factory=dict)
    total: int = 0


_NOW = database_now()
_ADD_SHARDS = insert(shards).values(created_at=_NOW, not_before=_NOW, rung_at=_NOW)
_ADD_HINTS = insert(outbox).values(created_at=_NOW)


def add_shards(
    connection: Connection,
    *,
    job_id: str,
    tenant: str,
    step: str,
    step_position: int,
    queue: str,
    plans: Sequence[ShardPlan],
    first: int = 0,
) -> list[str]:
    """Make the shards `first`, `first` + 1, … of a step, claimable at once, and one hint for each. Return their ids."""
    rows: list[dict[str, Any]] = [
        {
            "id": new_id("shard"),
            "job_id": job_id,
            "tenant": tenant,
            "step": step,
            "step_position": step_position,
            "position": position,
            "state": "pending",
            "queue": queue,
            "input": plan.input,
            "total": plan.total,
        }
        for position, plan in enumerate(plans, first)
    ]
    connection.execute(_ADD_SHARDS, rows)
    connection.execute(_ADD_HINTS, [{"shard_id": row["id"]} for row in rows])
    return [row["id"] for row in rows]
