"""The database: one engine, read and write transactions, foreign errors translated, migrations applied at opening."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.text import printable_json
from store.database.migrate import bring_up_to_date
from store.errors import StorageFull, StoreUnavailable
from store.resources.builtin_generators import builtin_differ, read_builtin, record_builtin
from store.settings import Settings


class Database:
    """Transactions over SQLite or PostgreSQL. Safe to share between threads; not across a fork."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self._writing = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """True on SQLite, whose writers take turns on one lock."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises StoreUnavailable."""
        with _translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: on SQLite it takes the write lock at its start, so that it never has to be
        retried half-way. Raises StoreUnavailable, StorageFull; IntegrityError passes through for those who expect it.
        """
        writing = self.engine.execution_options(offhand_write=True)
        with self._turn_to_write(), _translated(), writing.begin() as connection:
            yield connection

    @contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        """On SQLite the threads of a process wait for each other here, where the lock goes to the next as soon as it is
        free: SQLite itself would have each sleep and look again, and some of them for ever.
        """
        if not self.is_sqlite:
            yield
            return
        if not self._writing.acquire(timeout=self.settings.database.busy_timeout_seconds):
            raise StoreUnavailable("the database is busy")
        try:
            yield
        finally:
            self._writing.release()

    def ping(self) -> None:
        """One round trip. Raises StoreUnavailable."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def open_database(settings: Settings) -> Database:
    """Open the database named by the settings, bring its tables up to date and list the built-in generators.

    An empty or absent SQLite file becomes a working database. Raises StoreUnavailable, StorageFull, SchemaOutdated.
    """
    database = Database(create_database_engine(settings), settings)
    try:
        with _translated():
            bring_up_to_date(database.engine, may_migrate=settings.database.migrate)
        _register_builtin_generators(database, settings.shipped_folder)
    except BaseException:
        database.close()
        raise
    return database


def _register_builtin_generators(database: Database, folder: Path | None) -> None:
    """Bring the rows of the built-in generators up to date, so that they are right before any worker has run."""
    rows = read_builtin(folder)
    with database.read() as connection:
        differ = builtin_differ(connection, rows)
    if differ:
        with database.write() as connection:
            record_builtin(connection, rows)


def create_database_engine(settings: Settings) -> Engine:
    """An engine for the settings' URL, with the pragmas and time-outs that the rest relies on."""
    url = settings.database_url
    if url.startswith("sqlite"):
        return _sqlite_engine(url, settings)
    engine = create_engine(
        url,
        json_deserializer=read_json,
        hide_parameters=True,
        pool_size=settings.database.pool_size,
        max_overflow=settings.database.pool_size,
        pool_pre_ping=True,
        pool_timeout=settings.database.connect_timeout_seconds,
        connect_args={
            "connect_timeout": settings.database.connect_timeout_seconds,
            "tcp_user_timeout": int(1000 * settings.database.busy_timeout_seconds),
            "options": _postgresql_options(settings),
        },
    )
    event.listen(engine, "handle_error", _keep_primary_message)
    return engine


def _keep_primary_message(context: ExceptionContext) -> None:
    """Cut a PostgreSQL error down to its first line.

    The lines after it (`DETAIL: Failing row contains (…)`) repeat the values of the row, secrets included, and
    exceptions end in logs.
    """
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args:
            error.args = (str(error.args[0]).partition("\n")[0], *error.args[1:])


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON column. One with lone surrogates, which earlier versions stored, is made printable:
    no answer could carry it otherwise.
    """
    try:
        return from_json(text)
    except ValueError:
        return printable_json(json.loads(text))


def _postgresql_options(settings: Settings) -> str:
    """Nothing waits for ever: not for a lock, and not for a process that was stopped inside a transaction."""
    milliseconds = {
        "lock_timeout": int(1000 * settings.database.busy_timeout_seconds),
        "idle_in_transaction_session_timeout": int(1000 * settings.worker.lease_seconds),
    }
    return " ".join(f"-c {name}={value}" for name, value in milliseconds.items())


def _enter_wal(cursor: sqlite3.Cursor, patience: float) -> None:
    """Switch to the write-ahead log, waiting for whoever does so at this moment.

    SQLite does not wait by itself here: of several processes that open an empty file at once, some are told "locked".
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _sqlite_engine(url: str, settings: Settings) -> Engine:
    file = url.removeprefix("sqlite:///")
    if file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        json_deserializer=read_json,
        hide_parameters=True,
        pool_size=settings.database.pool_size,
        max_overflow=settings.database.pool_size,
        pool_timeout=settings.database.busy_timeout_seconds,
        connect_args={"timeout": settings.database.busy_timeout_seconds, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        # Python's sqlite3 would open transactions by itself, deferred; ours say BEGIN or BEGIN IMMEDIATE.
        connection.isolation_level = None
        cursor = connection.cursor()
        _enter_wal(cursor, settings.database.busy_timeout_seconds)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("offhand_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _translated() -> Iterator[None]:
    """Driver errors in the store's words."""
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise StoreUnavailable("all database connections are in use") from error
    except DBAPIError as error:
        message = str(error.orig)
        if "disk is full" in message or "No space left" in message or "could not extend file" in message:
            raise StorageFull("no space left for the database") from error
        if error.connection_invalidated or type(error).__name__ in ("OperationalError", "InterfaceError"):
            raise StoreUnavailable("the database cannot be reached", cause=message.partition("\n")[0]) from error
        raise
