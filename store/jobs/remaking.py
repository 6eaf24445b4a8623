"""Damaged objects: the shard that made one is done again, and the shards that depend on it wait.

A job can make again what one of its own steps makes: candidates, label set, inversion, labeler. Things that other jobs
made and uploads cannot be made again here: a shard that reads them is tried again, and then its job fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select

from store.database.clock import database_now
from store.database.database import Database
from store.job_kinds import KINDS
from store.jobs.events import record
from store.jobs.job_result import JobResult
from store.jobs.transitions import move_held_shard
from store.resources.artifacts import upload_of
from store.resources.files import remove_files
from store.tables import files, outbox, shards

#: What a caller can do about a damaged object, by the prefix of its resource's id.
_REMEDIES: Mapping[str, str] = {
    "upl": "upload the file again",
    "gen": "import the generator again",
    "enc": "train the encoder again",
    "smp": "draw the samples again",
    "ls": "upload the labels again",
    "ds": "make the dataset again; the same request gives the same samples",
}


@dataclass(frozen=True, slots=True)
class Damaged:
    """The object that made an attempt fail: file `name` of `resource_id` under `key` (both empty: all of its files)."""

    resource_id: str
    name: str = ""
    key: str = ""

    @property
    def remedy(self) -> str:
        """Return what the caller can do, as the end of a sentence; empty where nothing is known to help."""
        return _REMEDIES.get(self.resource_id.partition("_")[0], "")


def remake(connection: Connection, db: Database, job: Any, row: Any, damaged: Damaged) -> bool:
    """Put the shard that made a damaged object back to be done again, and the running shard `row`, which read it, to
    wait for that. False, with nothing changed, when no shard of the job makes it, or has made it as often as a shard
    may be tried. The caller holds the rows of `row` and of the job.
    """
    if not _is_made_again(connection, damaged):
        maker = _maker(connection, job, damaged)
        if maker is None:
            return False
        if maker.id == row.id:
            # It read what an earlier job made: without the files, its next attempt makes them.
            remove_files(connection, damaged.resource_id)
            return False
        if maker.state == "succeeded" and not _begin_again(connection, db, job, maker, damaged):
            return False
    now = database_now()
    waiting = {"owner": None, "lease_until": None, "not_before": now, "rung_at": now, "done": 0}
    move_held_shard(connection, row, "pending", **waiting)
    connection.execute(insert(outbox).values(shard_id=row.id, created_at=now))
    return True


def _is_made_again(connection: Connection, damaged: Damaged) -> bool:
    """Whether another shard met the damage before and the object has been replaced since."""
    there = set(connection.execute(select(files.c.key).where(files.c.resource_id == damaged.resource_id)).scalars())
    return bool(there) and damaged.key not in there


def _maker(connection: Connection, job: Any, damaged: Damaged) -> Any | None:
    """The job's shard that makes the object, where it is done or on its way."""
    if damaged.resource_id == job.id:
        # Keys name the shard that wrote them (`store.sweep.work_prefix`).
        made_by = shards.c.id == damaged.key.split("/")[1]
    else:
        # A label set that the request names stands in the job's result from its first step on.
        named = {"label_set": job.spec.get("labels"), **JobResult.of(job.result).ids}
        steps = KINDS[job.kind].steps if job.kind in KINDS else ()
        step = next((plan.name for plan in steps if plan.makes and named.get(plan.makes) == damaged.resource_id), None)
        if step is None or (
            step == "validate" and upload_of(connection, damaged.resource_id, tenant=job.tenant) is None
        ):
            return None
        made_by = shards.c.step == step
    usable = shards.c.state.in_(("pending", "running", "succeeded"))
    # Not locked: only a holder of the job's row, as the caller is, changes a shard that has succeeded.
    query = select(shards).where(shards.c.job_id == job.id, made_by, usable).order_by(shards.c.position).limit(1)
    return connection.execute(query).one_or_none()


def _begin_again(connection: Connection, db: Database, job: Any, maker: Any, damaged: Damaged) -> bool:
    failures = maker.failures + 1
    if failures >= db.settings.worker.max_attempts:
        return False
    if damaged.resource_id == job.id:
        written = files.c.key.startswith(f"work/{maker.id}/", autoescape=True)
        connection.execute(delete(files).where(and_(files.c.resource_id == job.id, written)))
    else:
        remove_files(connection, damaged.resource_id)
    now = database_now()
    # The shards that a first shard plans are there already: `until` would plan them twice.
    part = {name: value for name, value in maker.input.items() if name != "until"}
    fresh = {"owner": None, "lease_until": None, "not_before": now, "rung_at": now, "done": 0, "finished_at": None}
    move_held_shard(connection, maker, "pending", input=part, failures=failures, **fresh)
    connection.execute(insert(outbox).values(shard_id=maker.id, created_at=now))
    about = {"resource": damaged.resource_id, "file": damaged.name, "step": maker.step, "position": maker.position}
    record(connection, job.id, "object.remade", "warning", **about)
    return True
