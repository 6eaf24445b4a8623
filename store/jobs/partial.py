"""Jobs that end without some of their images, where their request allows it (`allow_partial`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, exists, select

from store.tables import shards, steps

#: States of shards that keep a step from being done which may lack some.
UNDONE_OF_PARTIAL = ("pending", "running", "canceled")


def may_lack(job: Any, step: Any) -> bool:
    """Whether the step (a row of `steps`) may be done without all of its shards: only images may be missing."""
    return bool(job.spec.get("allow_partial")) and step.counts_images and step.fan_out


def can_do_without(connection: Connection, job: Any, shard: Any) -> bool:
    """Whether the job may go on without this poisoned shard: it has others of the step that succeeded or still may, and
    no more are to be planned by this one.
    """
    step = connection.execute(select(steps).where(steps.c.job_id == job.id, steps.c.name == shard.step)).one()
    # The first shard of a stream plans the rest of it: without that one nobody knows what there is to be made.
    if not may_lack(job, step) or "until" in shard.input:
        return False
    others = exists().where(
        shards.c.job_id == job.id,
        shards.c.step == shard.step,
        shards.c.id != shard.id,
        shards.c.state.in_(("pending", "running", "succeeded")),
    )
    return bool(connection.execute(select(others)).scalar_one())
