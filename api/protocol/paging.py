"""Lists come in pages: `page_size` is coerced, `page_token` is opaque (AIP-158)."""

import re
from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator

from store.database.paging import DEFAULT_PAGE, MAX_PAGE, TOKEN, Page

PageSize = Annotated[
    int, Query(ge=1, description=f"Items a page; more than {MAX_PAGE} means {MAX_PAGE}.", examples=[DEFAULT_PAGE])
]


def _written_out(value: object) -> object:
    """RFC 3339 alone: a bare number would be taken for seconds since 1970, which the document does not promise."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value, re.ASCII):
        raise ValueError("a moment is written like 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
PageToken = Annotated[str | None, Query(pattern=TOKEN, description="`next_page_token` of the page before.")]
#: Of a list whose items are numbered: the number of the last one that was given.
NumberToken = Annotated[
    str | None, Query(pattern=r"^after-[0-9]{1,15}$", description="`next_page_token` of the page before.")
]

T = TypeVar("T")


def coerced(page_size: int) -> int:
    """Return the page size that is used for the one asked for."""
    return min(page_size, MAX_PAGE)


def token_for(number: int) -> str:
    """The token for the place behind item ``number`` of a numbered list."""
    return f"after-{number}"


def position_of(token: str | None) -> int:
    """The number a token stands for; 0 for the first page."""
    return int(token.removeprefix("after-")) if token else 0


def page_of(items: Sequence[T], page_size: int, page_token: str | None) -> Page[T]:
    """Return one page of a list that is short enough to be read whole, its items numbered by their places."""
    first, last = position_of(page_token), position_of(page_token) + coerced(page_size)
    return Page(list(items[first:last]), token_for(last) if last < len(items) else None)
