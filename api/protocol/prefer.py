"""`Prefer: wait`: how long a caller would wait for a short job to end."""

import re
from typing import Annotated

from fastapi import Header

LONGEST_WAIT = 60

PreferHeader = Annotated[
    str | None,
    Header(alias="Prefer", description=f"`wait=N`: up to N seconds (at most {LONGEST_WAIT}) for the job to end."),
]
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,9})(?=$|[,;\s])", re.IGNORECASE)


def seconds_to_wait(prefer: str | None) -> int:
    """``wait`` of a Prefer header (RFC 7240), at most LONGEST_WAIT; 0 where it says nothing about it."""
    match = WAIT.search(prefer or "")
    return min(int(match.group(1)), LONGEST_WAIT) if match else 0
