"""Request headers that more than one route understands."""

import re
from typing import Annotated

from fastapi import Header

LONGEST_WAIT = 60

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Unique to this wish. Sent again, it gives the first answer again and makes nothing twice.",
    ),
]
PreferHeader = Annotated[
    str | None,
    Header(alias="Prefer", description=f"`wait=N`: up to N seconds (at most {LONGEST_WAIT}) for the job to end."),
]
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,9})(?=$|[,;\s])", re.IGNORECASE)


def seconds_to_wait(prefer: str | None) -> int:
    """``wait`` of a Prefer header (RFC 7240), at most LONGEST_WAIT; 0 where it says nothing about it."""
    match = WAIT.search(prefer or "")
    return min(int(match.group(1)), LONGEST_WAIT) if match else 0
