"""Lists, newest first, with an opaque token for the next page."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select, Table, tuple_

from store.errors import InvalidRequest, Problem

MAX_PAGE = 200
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
    return base64.urlsafe_b64encode(json.dumps([created_at.hex(), identifier]).encode()).decode().rstrip("=")


def _decoded(token: str) -> tuple[float, str]:
    try:
        created_at, identifier = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return float.fromhex(created_at), str(identifier)
    except (ValueError, TypeError, binascii.Error) as error:
        problem = Problem("this token is not one that a list gave", "/page_token")
        raise InvalidRequest("the page token is not valid", [problem]) from error
