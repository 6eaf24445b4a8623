"""Chains: a long step as short items of work, one after the other, so that other jobs are served in between.

An item is a shard. Its result may name the next item of the same step (`NextItem`), with the state from which that one
continues; the step is done when an item names none. While a chain has items to come its job waits behind all jobs
without one, whatever their priorities; among chains the priority of the request decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, update

from store.jobs.claims import CHECKPOINT
from store.jobs.shards import ShardPlan
from store.resources.files import File, add_files
from store.tables import jobs

#: Entry of the input of every item but the first: the position of the item before.
CONTINUES = "continues"
#: Subtracted from a job's priority while it has an item to come. Requests ask for -100 to 100.
LOWERED_BY = 1000


@dataclass(frozen=True, slots=True)
class NextItem:
    """The item that continues a chain.

    done: what the item before did, in the step's unit. left: what is still to be done, 0 where that is unknown.
    state: the stored object from which the next item continues: a file of the shard before, named CHECKPOINT, which the
    next shard takes over as its first checkpoint. None: it needs none.
    input: further entries for its shard's input.
    """

    done: int
    left: int = 0
    state: File | None = None
    input: dict[str, Any] = field(default_factory=dict)

    def plan(self, position: int) -> ShardPlan:
        """Return the shard that follows the one at `position`."""
        return ShardPlan({**self.input, CONTINUES: position}, self.left)

    def hand_over(self, connection: Connection, tenant: str, shard_id: str) -> None:
        """Make the state the first checkpoint of the shard."""
        if self.state is not None:
            assert self.state.name == CHECKPOINT
            add_files(connection, tenant, [replace(self.state, resource_id=shard_id)])


def is_continued(shard_input: Mapping[str, Any]) -> bool:
    """Return whether a shard continues a chain: its checkpoint then holds the work of all items before."""
    return CONTINUES in shard_input


def lower_priority(connection: Connection, job: Any) -> None:
    """Let the job wait behind jobs without a chain. The caller holds its row."""
    _move(connection, job, jobs.c.priority > -LOWERED_BY // 2, -LOWERED_BY)


def restore_priority(connection: Connection, job: Any) -> None:
    """Give the job the priority of its request again. The caller holds its row."""
    _move(connection, job, jobs.c.priority < -LOWERED_BY // 2, LOWERED_BY)


def _move(connection: Connection, job: Any, where: Any, by: int) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job.id, where).values(priority=jobs.c.priority + by))
