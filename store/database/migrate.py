"""Applies the migrations of `migrations/` under a lock, so that several processes may start at once.

Migrations only add: what an older program reads and writes stays as it is. So a program that finds tables of a later
revision than its own goes on beside the newer ones, and workers may be replaced one by one.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from store.errors import SchemaOutdated
from store.tables import SCHEMA_REVISION

#: Key of PostgreSQL's advisory lock around a migration; any fixed number does.
_LOCK = 7_203_417_115


def bring_up_to_date(engine: Engine, *, may_migrate: bool = True) -> str:
    """Bring the tables to `SCHEMA_REVISION`, unless they are beyond it; their revision then. Raises SchemaOutdated when
    they are older and `may_migrate` is False.
    """
    with engine.connect() as connection, connection.begin():
        found = _revision(connection)
    if found >= SCHEMA_REVISION:
        return found
    if not may_migrate:
        raise SchemaOutdated("the tables are out of date: open the database once with OFFHAND_DATABASE__MIGRATE=true")
    with engine.connect().execution_options(offhand_write=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if _revision(connection) < SCHEMA_REVISION:
            upgrade(connection)
        return _revision(connection)


def _revision(connection: Connection) -> str:
    """Four digits, which sort as they follow each other; empty where there are no tables."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def upgrade(connection: Connection, to: str = "head") -> None:
    """Apply what is missing up to a revision."""
    # Imported here: alembic costs a fifth of a second, and most starts find the tables up to date.
    from alembic import command
    from alembic.config import Config

    spec = find_spec("migrations")
    assert spec is not None, "the migrations package is part of the project"
    assert spec.submodule_search_locations
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(spec.submodule_search_locations)))))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
