"""Lists, newest first, with an opaque token for the next page."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select, Table, tuple_

from store.errors import InvalidRequest, Problem

DEFAULT_PAGE = 20
"""Items of a page by default. One core answers a page of so many jobs 200 times a second, one of 50 some 150 times."""
MAX_PAGE = 200
#: What a token looks like: the bits of `created_at`, then the id. Whatever fits names a place in the list.
TOKEN = r"^[0-9a-f]{16}-[0-9A-Za-z_.-]{1,80}$"  # noqa: S105 - a pattern, not a password
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_page_token` is None on the last."""

    items: list[T]
    next_page_token: str | None


def page(
    connection: Connection,
    query: Select[Any],
    table: Table,
    make: Callable[[Any], T],
    *,
    page_size: int,
    page_token: str | None,
) -> Page[T]:
    """Rows of `query` by falling (created_at, id). `page_size` is coerced into 1…200. Raises InvalidRequest."""
    size = max(1, min(page_size, MAX_PAGE))
    position = (table.c.created_at, table.c.id)
    if page_token:
        query = query.where(tuple_(*position) < tuple_(*_decoded(page_token)))
    rows = connection.execute(query.order_by(*(column.desc() for column in position)).limit(size + 1)).all()
    token = _encoded(rows[size - 1].created_at, rows[size - 1].id) if len(rows) > size else None
    return Page([make(row) for row in rows[:size]], token)


def _encoded(created_at: float, identifier: str) -> str:
    return f"{struct.pack('>d', created_at).hex()}-{identifier}"


def _decoded(token: str) -> tuple[float, str]:
    if not re.fullmatch(TOKEN, token, re.ASCII):
        problem = Problem("invalid page token: use next_page_token of an earlier answer", "/page_token")
        raise InvalidRequest("the page token is not valid", [problem])
    (created_at,) = struct.unpack(">d", bytes.fromhex(token[:16]))
    # What is no number at all names the place behind the last one, on every database alike.
    return (created_at if math.isfinite(created_at) else -1.0), token[17:]
