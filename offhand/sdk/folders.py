"""The folder that a download writes into: held by one process, and never one with files that are not its own."""

import hashlib
import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from offhand.errors import DownloadFailed

#: In a folder while a download into it is not finished: which dataset it is of. Locked while a process works on it.
MARKER = ".offhand-download"
MANIFEST = "manifest.json"
CONTACT_SHEET = "contact_sheet.png"


class HeldFolder:
    """A folder that this process alone downloads into."""

    def __init__(self, path: Path, marker: IO[str]) -> None:
        self.path, self._marker = path, marker

    def belongs_to(self, dataset_id: str) -> None:
        """Record in the marker which dataset is downloaded, so that a later call may resume."""
        self._marker.seek(0)
        self._marker.truncate()
        self._marker.write(json.dumps({"dataset": dataset_id, "process": os.getpid()}))
        self._marker.flush()

    def finished(self) -> None:
        """Remove the marker: from now on the manifest names the dataset."""
        (self.path / MARKER).unlink(missing_ok=True)


@contextmanager
def held_folder(into: Path, dataset_id: str | None, *, overwrite: bool = False) -> Iterator[HeldFolder]:
    """Create ``into`` where it is missing and hold it until the end of the block.

    ``dataset_id``: the dataset whose finished or interrupted download the folder may already hold; None: it must be
    empty. ``overwrite``: accept any folder; files in it that the manifest lists are then replaced.

    A folder that was created here and stayed empty is removed again. Raises :class:`DownloadFailed` for a folder that
    cannot be written, holds other files, or is held by another process.
    """
    made = _create(into)
    try:
        marker = (into / MARKER).open("a+", encoding="utf-8")
    except OSError as error:
        raise DownloadFailed(f"cannot write to {into}: {error.strerror}") from error
    with marker:
        _lock(marker, into)
        marker.seek(0)
        resumed = _named(marker.read())
        try:
            if not overwrite:
                _refuse_other_files(into, dataset_id, resumed)
            yield HeldFolder(into, marker)
        finally:
            _leave(into, marker, made)


def refuse_other_file(target: Path, listed: dict[str, Any], *, overwrite: bool) -> None:
    """Raise :class:`DownloadFailed` where ``target`` is another file than the one ``listed`` as {bytes, sha256}."""
    if target.is_dir():
        raise DownloadFailed(f"{target} is a folder; name a file")
    if overwrite or not target.exists():
        return
    with target.open("rb") as file:
        same = target.stat().st_size == listed["bytes"] and (
            hashlib.file_digest(file, "sha256").hexdigest() == listed["sha256"]
        )
    if not same:
        raise DownloadFailed(
            f"{target} is already there and is another file; choose another name, or replace it with --overwrite"
        )


def refuse_unwritable_file(target: Path) -> None:
    """Raise :class:`DownloadFailed` where ``target`` cannot be written, before it is waited for."""
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        existed = part.exists()
        part.open("ab").close()
        if not existed:
            part.unlink()
    except OSError as error:
        raise DownloadFailed(f"cannot write to {target}: {error.strerror}") from error


def _create(into: Path) -> list[Path]:
    """Create the folder; returns it and those of its parents that were missing, the innermost first."""
    missing = []
    for folder in (into, *into.parents):
        if folder.exists():
            break
        missing.append(folder)
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadFailed(f"cannot write to {into}: {error.strerror}") from error
    return missing


def _lock(marker: IO[str], into: Path) -> None:
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:  # Windows has no such lock
        return
    busy = f"another process is downloading into {into}; wait for it, or choose another folder"
    try:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise DownloadFailed(busy) from error
    path = into / MARKER
    # The process that held it may have removed the file between our opening and locking it.
    if not path.exists() or os.fstat(marker.fileno()).st_ino != path.stat().st_ino:
        raise DownloadFailed(busy)


def _named(text: str) -> str | None:
    """The dataset that a marker or a manifest names."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    name = document.get("dataset") if isinstance(document, dict) else None
    return name if isinstance(name, str) else None


def _refuse_other_files(into: Path, dataset_id: str | None, resumed: str | None) -> None:
    """Raise unless the folder is empty or holds the dataset ``dataset_id``, finished or interrupted."""
    there = sorted(path.name for path in into.iterdir() if path.name != MARKER)
    if not there:
        return
    manifest = into / MANIFEST
    finished = _named(manifest.read_text("utf-8", errors="replace")) if manifest.is_file() else None
    holds = finished or (resumed if not manifest.exists() else None)
    if dataset_id is not None and holds == dataset_id:
        return
    shown = ", ".join(there[:5]) + (f" and {len(there) - 5} more" if len(there) > 5 else "")
    what = f"already holds {holds}" if holds else f"is not empty and holds no dataset of this service: {shown}"
    raise DownloadFailed(f"{into} {what}; choose another folder, or replace files in it with --overwrite")


def _leave(into: Path, marker: IO[str], made: list[Path]) -> None:
    """Where nothing was fetched, remove the marker and the folders that were made for it."""
    with suppress(OSError):
        marker.seek(0)
        others = any(path.name != MARKER for path in into.iterdir())
        if not others or not marker.read():
            (into / MARKER).unlink(missing_ok=True)
        if not others:
            for folder in made:
                folder.rmdir()
