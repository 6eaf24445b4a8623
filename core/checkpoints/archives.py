"""Zip archives of several files: a folder with a configuration beside its weights, or with several networks."""

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from core.callbacks import ShouldStop, stop_if_asked
from core.checkpoints.limits import Limits, unsafe
from core.errors import CheckpointError, Problem

WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".safetensors")
"""Endings of files that hold tensors."""
DOCUMENT = ".json"
#: Entries, of which most may be pictures and notes; and weights, each of which is read.
_MOST_ENTRIES, _MOST_WEIGHTS = 10_000, 32
_LARGEST_DOCUMENT = 4 << 20
_PIECE = 1 << 20
#: Weights shrink by a tenth; what shrinks more than this is no checkpoint. Small files may have any ratio.
_RATIO, _SMALL = 20, 64 << 20


def is_archive(path: Path) -> bool:
    """Return whether a zip file is an archive of checkpoint files, rather than one checkpoint (``torch.save``)."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MOST_ENTRIES]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    code = any("/code/__torch__" in name or name.endswith("/.data/extern_modules") for name in names)
    saved = any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names)
    return not code and not saved and any(name.lower().endswith(WEIGHTS) for name in names)


@contextmanager
def unpacked_archive(path: Path, limits: Limits, should_stop: ShouldStop) -> Iterator[list[Path]]:
    """Yield the weights and JSON documents of an archive as temporary files of one folder, removed at the end.

    Files are named after the last part of their path. Raises :class:`CheckpointError` for a damaged archive or two
    files of one name, :class:`UnsafeCheckpointError` for one that unpacks to more than any checkpoint does.
    """
    most = min(limits.file_bytes, max(_SMALL, _RATIO * path.stat().st_size))
    # Beside the file where that is possible: whoever removes the file's folder removes the content too.
    beside = path.parent if os.access(path.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="offhand-", dir=beside) as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                files = []
                for entry in _wanted(archive, path.name):
                    to = Path(folder) / PurePosixPath(entry.filename).name
                    most -= _write(archive, entry, to, most, should_stop)
                    files.append(to)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise CheckpointError("this zip is damaged", [Problem(str(error), path.name)]) from None
        yield files


def _wanted(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """Return the entries that are read."""
    entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES:
        raise unsafe(f"more than {_MOST_ENTRIES} entries in a zip", name)
    wanted = [
        entry
        for entry in entries
        if entry.filename.lower().endswith((*WEIGHTS, DOCUMENT))
        and not PurePosixPath(entry.filename).name.startswith(".")
        and "__MACOSX" not in PurePosixPath(entry.filename).parts
    ]
    if sum(entry.filename.lower().endswith(WEIGHTS) for entry in wanted) > _MOST_WEIGHTS:
        raise unsafe(f"more than {_MOST_WEIGHTS} files of weights in a zip", name)
    seen: set[str] = set()
    for entry in wanted:
        last = PurePosixPath(entry.filename).name
        if last in seen:
            raise CheckpointError(
                "this zip holds several checkpoints", [Problem("two files of one name; zip one folder", last[:200])]
            )
        seen.add(last)
    return wanted


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, to: Path, most: int, should_stop: ShouldStop) -> int:
    """Unpack one entry; return its length."""
    if entry.filename.lower().endswith(DOCUMENT):
        most = min(most, _LARGEST_DOCUMENT)
    written = 0
    with archive.open(entry) as source, to.open("wb") as file:
        while piece := source.read(_PIECE):
            stop_if_asked(should_stop)
            written += file.write(piece)
            if written > most:
                raise unsafe(f"it unpacks to more than {most} bytes", entry.filename[:200])
    return written
