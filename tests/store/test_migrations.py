"""From an empty and from every older database to the present one; older programs beside newer tables."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, inspect, select, text

from store.database.database import Database, create_database_engine, open_database
from store.database.migrate import upgrade
from store.errors import SchemaOutdated
from store.jobs.events import events
from store.jobs.views import job_view
from store.settings import Settings
from store.tables import SCHEMA_REVISION, jobs, metadata, steps
from tests.store.jobkit import TENANT, drain, submit, view

REVISIONS = [f"{number:04d}" for number in range(1, int(SCHEMA_REVISION) + 1)]
OLD_JOB = "job_from_before"


def test_the_migrations_make_the_tables(db: Database) -> None:
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == SCHEMA_REVISION
        assert compare_metadata(context, metadata) == []


def test_revisions_are_numbered_one_after_the_other(repository) -> None:
    """They are compared as text: an older program knows by it that the tables are newer than itself."""
    script = ScriptDirectory(str(repository / "migrations"))
    assert script.get_heads() == [SCHEMA_REVISION]
    assert sorted(revision.revision for revision in script.walk_revisions()) == REVISIONS


def test_an_old_database_is_refused_when_migrating_is_off(empty_settings: Settings) -> None:
    empty_settings.database.migrate = False
    with pytest.raises(SchemaOutdated):
        open_database(empty_settings)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_a_job_that_an_older_program_accepted_is_done_after_the_upgrade(
    empty_settings: Settings, revision: str
) -> None:
    engine = create_database_engine(empty_settings)
    with engine.connect().execution_options(offhand_write=True) as connection, connection.begin():
        upgrade(connection, revision)
        _write_old_job(connection)
    engine.dispose()
    database = open_database(empty_settings)
    with database.read() as connection:
        whose = connection.execute(select(steps.c.tenant, steps.c.generator).where(steps.c.job_id == OLD_JOB)).all()
    assert {tuple(row) for row in whose} == {(TENANT, "none")}, "what it takes tells how long the next one will"
    assert drain(database) == 3 + 1, "the work that waited, what it asked for, and the end"
    ended = job_view(database, OLD_JOB, tenant=TENANT)
    assert (ended.state, ended.counts.done, ended.seed) == ("succeeded", 10, 7)
    log = events(database, OLD_JOB, tenant=TENANT)
    assert [event.number for event in log] == list(range(1, len(log) + 1))
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def _write_old_job(connection: Connection) -> None:
    """A queued job of the test kind as a program of the database's revision wrote it: only columns that it had."""
    job = {"id": OLD_JOB, "tenant": TENANT, "kind": "test", "state": "queued", "seed": 7, "total": 10}
    _insert(connection, "jobs", {**job, "spec": {"generator": "none"}, "labels": {}, "result": {}, "created_at": 1.0})
    for position, name in enumerate(("plan", "work", "finish")):
        step = {"job_id": OLD_JOB, "position": position, "name": name, "state": "pending", "fan_out": name == "work"}
        since_0011 = {"tenant": TENANT, "generator": "none"}
        there = {column["name"] for column in inspect(connection).get_columns("steps")}
        later = {column: value for column, value in since_0011.items() if column in there}
        _insert(connection, "steps", {**step, "counts_images": name == "work", **later})
    shard = {"id": "shard_from_before", "job_id": OLD_JOB, "tenant": TENANT, "step": "plan", "step_position": 0}
    _insert(
        connection,
        "shards",
        {**shard, "position": 0, "state": "pending", "input": {}, "not_before": 1.0, "created_at": 1.0},
    )


def _insert(connection: Connection, name: str, values: Mapping[str, Any]) -> None:
    # Types are those of now, so that JSON is written as such; columns are those of then.
    there = {column["name"] for column in inspect(connection).get_columns(name)}
    assert set(values) <= there, "the first tables had these"
    now = metadata.tables[name]
    then = Table(name, MetaData(), *(column._copy() for column in now.columns if column.name in values))
    connection.execute(then.insert().values(**values))


@pytest.mark.parametrize(("before", "after"), list(pairwise(REVISIONS)))
def test_a_migration_only_adds_so_that_programs_of_before_go_on(
    empty_settings: Settings, before: str, after: str
) -> None:
    engine = create_database_engine(empty_settings)
    with engine.connect().execution_options(offhand_write=True) as connection, connection.begin():
        upgrade(connection, before)
        old = _columns(connection)
        upgrade(connection, after)
        new = _columns(connection)
    engine.dispose()
    for place, kind in old.items():
        assert new[place] == kind, f"{place} is not what it was"
    tables = {table for table, _ in old}
    for (table, column), (_, nullable, default) in new.items():
        if table in tables and (table, column) not in old:
            assert nullable or default is not None, f"programs of before cannot write {table}: {column} has no default"


def _columns(connection: Connection) -> dict[tuple[str, str], tuple[str, bool, str | None]]:
    """Type, whether it may be null, and default of every column."""
    looked = inspect(connection)
    return {
        (table, column["name"]): (str(column["type"]), column["nullable"], column["default"])
        for table in looked.get_table_names()
        for column in looked.get_columns(table)
    }


@pytest.mark.parametrize("may_migrate", [True, False])
def test_a_program_goes_on_beside_tables_that_are_newer_than_itself(settings: Settings, may_migrate: bool) -> None:
    first = open_database(settings)
    job = submit(first)
    with first.write() as connection:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN wish VARCHAR(16) DEFAULT '' NOT NULL"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    settings.database.migrate = may_migrate
    second = open_database(settings)
    drain(first)
    assert view(second, job).state == "succeeded"
    other = submit(second)
    drain(second)
    assert view(first, other).state == "succeeded"
    with second.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
        assert len(connection.execute(select(jobs.c.id)).all()) == 2
    first.close()
    second.close()
