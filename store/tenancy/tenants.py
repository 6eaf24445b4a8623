"""Whose things are whose, and how much of everything one tenant may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.errors import NotFound
from store.jobs.states import ACTIVE_JOB_STATES
from store.resources.files import stored_bytes
from store.settings import LimitSettings
from store.tables import jobs
from store.tables import tenants as table

#: The one tenant of a service without keys, the embedded one included.
LOCAL = "local"
#: Limits that can be set for one tenant; the deployment's setting of the same name is the default.
QUOTAS = ("queued_jobs", "images_per_job", "stored_bytes", "upload_bytes", "requests_per_minute")


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit, and how much of it is used now (None where that is no question)."""

    name: str
    limit: int
    used: int | None


# Statements that every request needs are built once: building one takes longer than the database does with it.
_LIMITS = select(table.c.limits).where(table.c.id == bindparam("tenant"))
_LOCK = select(table.c.id).where(table.c.id == bindparam("tenant")).with_for_update()
_ACTIVE_JOBS = (
    select(func.count())
    .select_from(jobs)
    .where(jobs.c.tenant == bindparam("tenant"), jobs.c.state.in_(sorted(ACTIVE_JOB_STATES)))
)


def lock_tenant(connection: Connection, tenant: str) -> None:
    """Let the transactions that check and use up the tenant's quotas take turns. Call it first in the transaction, so
    that all of them lock rows in the same order. SQLite lets all writers take turns already.
    """
    if connection.dialect.name == "sqlite" or connection.execute(_LOCK, {"tenant": tenant}).first() is not None:
        return
    # A tenant of a service without keys has no row yet. One of several transactions adds it, the others wait for that.
    values = {"id": tenant, "limits": {}, "created_at": database_now()}
    connection.execute(postgresql.insert(table).values(**values).on_conflict_do_nothing())
    connection.execute(_LOCK, {"tenant": tenant})


def limits_of(connection: Connection, settings: LimitSettings, tenant: str) -> dict[str, int]:
    """The tenant's limits by name: its own where set, else the deployment's."""
    return effective(connection.execute(_LIMITS, {"tenant": tenant}).scalar(), settings)


def effective(own: Mapping[str, int] | None, settings: LimitSettings) -> dict[str, int]:
    """All limits by name, of a tenant that has these of its own."""
    return {name: int((own or {}).get(name, getattr(settings, name))) for name in QUOTAS}


def active_jobs(connection: Connection, tenant: str) -> int:
    """Jobs of the tenant that wait or run."""
    return int(connection.execute(_ACTIVE_JOBS, {"tenant": tenant}).scalar_one())


def quotas(db: Database, *, tenant: str) -> list[Quota]:
    """Every limit of the tenant with its present use."""
    with db.read() as connection:
        limits = limits_of(connection, db.settings.limits, tenant)
        used = {"queued_jobs": active_jobs(connection, tenant), "stored_bytes": stored_bytes(connection, tenant)}
    return [Quota(name, limit, used.get(name)) for name, limit in limits.items()]


def add_tenant(db: Database, name: str) -> None:
    """Make a tenant unless it is there."""
    try:
        with db.write() as connection:
            if connection.execute(select(table.c.id).where(table.c.id == name)).first() is None:
                connection.execute(insert(table).values(id=name, limits={}, created_at=database_now()))
    except IntegrityError:
        pass  # another process made it at this moment


def set_limits(db: Database, name: str, limits: dict[str, int]) -> None:
    """Replace a tenant's own limits. Raises NotFound; KeyError for a limit that does not exist."""
    for limit in limits:
        if limit not in QUOTAS:
            raise KeyError(limit)
    with db.write() as connection:
        if not connection.execute(update(table).where(table.c.id == name).values(limits=limits)).rowcount:
            raise NotFound(f"no tenant {name!r}")


def list_tenants(db: Database) -> list[tuple[str, dict[str, Any], datetime]]:
    """Name, own limits and birth of every tenant."""
    with db.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.id)).all()
    return [(row.id, row.limits, cast(datetime, to_datetime(row.created_at))) for row in rows]
