"""The only statements that change a state. Each asks `store.jobs.states` what the state may have been before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from store.database.clock import database_now
from store.jobs.states import check_transition, states_before
from store.tables import jobs, shards, steps
from store.webhooks.deliveries import announce


def lock_job(connection: Connection, job_id: str) -> Any:
    """The job's row, held until the transaction ends."""
    return connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).one()


def move_job(connection: Connection, job_id: str, after: str, **values: Any) -> None:
    """Change a job's state, and other columns with it. The caller holds the row. Raises IllegalTransition."""
    before = connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one()
    check_transition("job", before, after)
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(state=after, **values))


def end_job(connection: Connection, job_id: str, after: str, **values: Any) -> None:
    """`move_job` into a terminal state, of which the tenant's webhooks are told."""
    move_job(connection, job_id, after, finished_at=database_now(), **values)
    announce(connection, job_id, after)


def move_steps(connection: Connection, which: ColumnElement[bool], after: str, **values: Any) -> list[Any]:
    """Change the state of those steps among `which` from where it may be reached; their rows."""
    changed = update(steps).where(which, steps.c.state.in_(states_before("step", after)))
    return list(connection.execute(changed.values(state=after, **values).returning(steps)))


def move_shards(connection: Connection, which: ColumnElement[bool], after: str, **values: Any) -> list[Any]:
    """Change the state of those shards among `which` from where it may be reached; their rows."""
    changed = update(shards).where(which, shards.c.state.in_(states_before("shard", after)))
    return list(connection.execute(changed.values(state=after, **values).returning(shards)))


def move_held_shard(connection: Connection, row: Any, after: str, **values: Any) -> None:
    """Change the state of the one shard whose `row` the caller holds. Raises IllegalTransition."""
    check_transition("shard", row.state, after)
    connection.execute(update(shards).where(shards.c.id == row.id).values(state=after, **values))
