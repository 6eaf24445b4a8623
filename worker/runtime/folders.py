"""Temporary folders of child processes: removed by whoever outlives the child."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "offhand-child-"


def new_folder() -> Path:
    """Return a path for a child's folder, which does not exist yet."""
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{secrets.token_hex(8)}"


@contextlib.contextmanager
def held_folder(path: Path) -> Iterator[Path]:
    """Make the folder `path` and remove it at the end. This process holds a lock on it, which ends with the process."""
    # It gets its name once it is locked, so that no sweep meets it without.
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    lock = os.open(fresh, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield fresh.rename(path)
    finally:
        for one in (path, fresh):
            shutil.rmtree(one, ignore_errors=True)
        os.close(lock)


def sweep_folders() -> int:
    """Remove the folders of children that ended together with their supervisor; how many there were."""
    removed = 0
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # A folder that is held, another user's, or a link, is left alone.
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.geteuid():
                    shutil.rmtree(path, ignore_errors=True)
                    removed += 1
            finally:
                os.close(lock)
    return removed
