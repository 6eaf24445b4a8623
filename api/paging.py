"""Lists come in pages: `page_size` is coerced, `page_token` is opaque (AIP-158)."""

import base64
import re
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator

from api.errors import invalid
from store.paging import MAX_PAGE

PageSize = Annotated[
    int, Query(ge=1, description=f"Items a page; more than {MAX_PAGE} means {MAX_PAGE}.", examples=[50])
]


def _written_out(value: object) -> object:
    """RFC 3339 alone: a bare number would be taken for seconds since 1970, which the document does not promise."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value, re.ASCII):
        raise ValueError("a moment is written like 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
PageToken = Annotated[str | None, Query(max_length=500, description="`next_page_token` of the page before.")]


def coerced(page_size: int) -> int:
    return min(page_size, MAX_PAGE)


def token_for(number: int) -> str:
    """An opaque token for the place behind item ``number`` of a numbered list."""
    return base64.urlsafe_b64encode(b"after:%d" % number).decode()


def position_of(token: str | None) -> int:
    """The number a token stands for; 0 for the first page."""
    if not token:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(token.encode()).partition(b":")
        if word != b"after" or not number.isdigit() or len(number) > 15:
            raise ValueError
        return int(number)
    except ValueError as error:
        raise invalid("page_token is not one of this service's.", "query:page_token") from error
