"""`python -m worker.service.health`: exit status 1 when the worker or relay of this container is not well.

Either leaves a sign after each chore in which the store answered. A container holds one of them, and its own `/tmp`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

SIGN = Path(tempfile.gettempdir()) / "offhand-alive"
#: Chores come at least every 10 s; a slow one may hold up the others.
SILENT_AFTER_SECONDS = 60.0


def leave_sign() -> None:
    """Say that all is well at this moment."""
    SIGN.touch()


def main() -> int:
    """Exit status: 0 when the last sign is fresh."""
    silent = time.time() - SIGN.stat().st_mtime if SIGN.exists() else float("inf")
    if silent <= SILENT_AFTER_SECONDS:
        return 0
    print(f"worker: no sign of life for {silent:.0f} s; see its log", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
