"""Opening a database: made once by many at a time, its errors in our words, its states checked."""

from __future__ import annotations

import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from store.database.database import Database, open_database
from store.errors import IllegalTransition, StorageFull, StoreUnavailable
from store.jobs import states
from store.jobs.commits import StepResult, commit
from store.jobs.transitions import move_job
from store.jobs.views import job_view
from store.settings import DatabaseSettings, Settings
from tests.store.jobkit import TENANT, claimed, do, drain, plans, submit


def test_several_processes_may_open_an_empty_database_at_once(empty_settings: Settings) -> None:
    gate = threading.Barrier(4)
    opened: list[Database] = []

    def start() -> None:
        gate.wait()
        opened.append(open_database(empty_settings))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for database in opened:
        database.ping()
        database.close()


def test_a_database_that_is_away_is_named_and_not_waited_for(tmp_path: Path) -> None:
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    with pytest.raises(StoreUnavailable):
        open_database(Settings(home=tmp_path, database=DatabaseSettings(url=url)))


# The pool drops dead connections without closing them, of which psycopg complains.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_database_that_restarts_is_found_again(postgres_server, postgres_url: str, tmp_path: Path) -> None:
    database = open_database(Settings(home=tmp_path, database=DatabaseSettings(url=postgres_url)))
    postgres_server.kill()
    with pytest.raises(StoreUnavailable):
        database.ping()
    postgres_server.start()
    database.ping()
    database.close()


def test_sqlite_waits_for_its_turn(tmp_path: Path) -> None:
    database = open_database(Settings(home=tmp_path))

    def write() -> None:
        for _ in range(20):
            with database.write() as connection:
                connection.execute(text("UPDATE counter SET value = value + 1"))

    with database.write() as connection:
        connection.execute(text("CREATE TABLE counter (value int)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    threads = [threading.Thread(target=write) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert connection.execute(text("SELECT value FROM counter")).scalar_one() == 320
    database.close()


def test_a_disk_that_is_full_at_a_commit_loses_nothing(empty_settings: Settings) -> None:
    """On SQLite, whose file can be told how large it may grow."""
    empty_settings.database = DatabaseSettings()
    database = open_database(empty_settings)
    job = submit(database)
    taken = claimed(database)
    limits = ["PRAGMA max_page_count = 1"]  # it stays as large as it is

    @event.listens_for(database.engine, "connect")
    def set_limits(connection: Any, _record: Any) -> None:
        for pragma in limits:
            connection.execute(pragma)

    database.engine.dispose()
    with pytest.raises(StorageFull, match="no space left for the database"):
        commit(database, taken, StepResult(value={"large": "x" * 2_000_000}, fan_out=plans(2)))
    limits.clear()
    database.engine.dispose()
    with database.read() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    assert [step.total for step in job_view(database, job.id, tenant=TENANT).steps] == [0, 0, 0], "nothing half done"
    assert do(database, taken).done
    drain(database)
    assert job_view(database, job.id, tenant=TENANT).state == "succeeded"
    database.close()


def test_illegal_moves_raise(db: Database) -> None:
    job = submit(db)
    with pytest.raises(IllegalTransition), db.write() as connection:
        move_job(connection, job.id, "succeeded")


@pytest.mark.parametrize("what", ["job", "step", "shard"])
def test_terminal_states_have_nothing_after_them(what) -> None:
    table = states.TABLES[what]
    assert all(after in table for following in table.values() for after in following)
    for state, following in table.items():
        for after in table:
            if after in following:
                states.check_transition(what, state, after)
            else:
                with pytest.raises(IllegalTransition):
                    states.check_transition(what, state, after)


@pytest.mark.parametrize("what", ["job", "step", "shard"])
def test_the_drawing_of_states_is_the_table(what) -> None:
    """The docstring's tables are what people read; they must be those that the code obeys."""
    drawing = (states.__doc__ or "").split(f"{what.capitalize()}::")[1].strip("\n").split("\n\n")[0]
    header, *rows = textwrap.dedent(drawing).splitlines()
    columns = header.replace("from \\ to", "").split()
    starts = [header.index(f" {column}") + 1 for column in columns]
    drawn: dict[str, set[str]] = {}
    for line in rows:
        named, nothing, _ = line.partition(": nothing follows")
        if nothing:
            drawn |= {state: set() for state in named.split(", ")}
            continue
        drawn[line.split()[0]] = {
            column for column, start in zip(columns, starts, strict=True) if "x" in line[start : start + len(column)]
        }
    unsaid = {state for state, following in states.TABLES[what].items() if not following} - set(drawn)
    assert drawn | {state: set() for state in unsaid} == states.TABLES[what]


def test_writers_of_one_process_take_turns_and_none_waits_for_ever(db: Database) -> None:
    db.settings.database.busy_timeout_seconds = 0.2
    holds, over = threading.Event(), threading.Event()

    def hold() -> None:
        with db.write():
            holds.set()
            over.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holds.wait(20)
    try:
        if db.is_sqlite:
            with pytest.raises(StoreUnavailable), db.write():
                pass
        else:
            with db.write():
                pass
    finally:
        over.set()
        holder.join()
    with db.write() as connection:
        connection.execute(text("SELECT 1"))


def test_many_threads_write_at_once_and_all_come_through(db: Database) -> None:
    with ThreadPoolExecutor(40) as threads:
        made = list(threads.map(lambda _: submit(db).id, range(80)))
    assert len(set(made)) == 80
