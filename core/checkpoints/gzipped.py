"""Checkpoints that were compressed with gzip, as some pages publish them."""

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.callbacks import ShouldStop, stop_if_asked
from core.checkpoints.limits import Limits, unsafe
from core.errors import CheckpointError, Problem

GZIP = b"\x1f\x8b"
_PIECE = 1 << 20
#: Weights are close to random numbers and shrink by a tenth; what shrinks more than this is no checkpoint.
_RATIO = 20
#: Bytes that any file may have unpacked, whatever its ratio.
_SMALL = 64 << 20


@contextmanager
def unpacked(path: Path, limits: Limits, should_stop: ShouldStop) -> Iterator[Path]:
    """Yield a temporary file with the content of a gzip file, which is removed at the end.

    Raises :class:`CheckpointError` for a damaged file, and :class:`UnsafeCheckpointError` for one that unpacks to more
    than ``limits.file_bytes``, or to more than any checkpoint does.
    """
    most = min(limits.file_bytes, max(_SMALL, _RATIO * path.stat().st_size))
    # Beside the file where that is possible: whoever removes the file's folder removes the content too.
    beside = path.parent if os.access(path.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="offhand-", dir=beside) as folder:
        to = Path(folder) / path.name.removesuffix(".gz")
        try:
            with gzip.open(path) as source, to.open("wb") as file:
                written = 0
                while piece := source.read(_PIECE):
                    stop_if_asked(should_stop)
                    written += file.write(piece)
                    if written > most:
                        raise unsafe(f"it unpacks to more than {most} bytes", path.name)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise CheckpointError("this gzip file is damaged", [Problem(str(error), path.name)]) from None
        yield to
