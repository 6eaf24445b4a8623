"""Named points at which a test may make a process die as if its machine had lost power."""

from __future__ import annotations

import os
import signal
from pathlib import Path

#: `<point>` dies every time; `<point>:<file>` dies once and leaves the file behind. Only tests set it.
VARIABLE = "OFFHAND_CRASH_POINT"


def crash_point(name: str) -> None:
    """Kill this process at once if the test that runs it asked for that."""
    wanted, _, once = os.environ.get(VARIABLE, "").partition(":")
    if wanted != name:
        return
    if once:
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
