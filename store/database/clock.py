"""The database's clock, the only one that decides anything. Times are stored as Unix seconds (double precision)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class database_now(FunctionElement[float]):
    """SQL expression: seconds since 1970 by the database server's clock, at the moment the row is visited."""

    type = Double()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite(_element: database_now, _compiler: Any, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql(_element: database_now, _compiler: Any, **_options: Any) -> str:
    # clock_timestamp() and not now(): a transaction that waited for a lock must see how late it is.
    return "extract(epoch from clock_timestamp())::double precision"


def to_datetime(seconds: float | None) -> datetime | None:
    """Stored seconds as an aware UTC datetime."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
