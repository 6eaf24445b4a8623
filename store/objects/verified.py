"""Reading stored objects: every byte is compared with the SHA-256 that its row in `files` was committed with.

Workers and the API read objects through this module alone (`tests/test_architecture.py`). Bytes that differ are read
again, since the fault may lie on the way; an object that differs each time, or is gone, raises DamagedObject.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from store.errors import DamagedObject, NotFound
from store.objects.contract import ObjectStore
from store.resources.files import File

Found = TypeVar("Found")

#: Reads before an object counts as damaged, and seconds before the second one; the pause doubles with each read.
READS, PAUSE = 3, 0.1
_CHUNK = 1 << 20


def stream(objects: ObjectStore, file: File) -> Iterator[bytes]:
    """The file's bytes in chunks. The last chunk is held back until all bytes are verified, so that a receiver never
    has a whole file of wrong bytes. Raises DamagedObject when size or SHA-256 differ, or the object is gone.
    """
    digest, size, held = hashlib.sha256(), 0, b""
    try:
        for chunk in objects.read(file.key, chunk=_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if held:
                yield held
            held = chunk
    except NotFound as error:
        raise _lost(file) from error
    if size != file.bytes:
        raise _damaged(file, f"has {size} bytes, {file.bytes} were stored")
    if digest.hexdigest() != file.sha256:
        raise _damaged(file, f"has SHA-256 {digest.hexdigest()}, {file.sha256} was stored")
    if held:
        yield held


def copy(objects: ObjectStore, file: File, target: BinaryIO) -> None:
    """Append the verified file to a seekable `target`. After an error `target` ends where it ended before.

    Raises DamagedObject when the bytes differ at each of `READS` reads; one that is gone is looked for once.
    """
    start = target.tell()
    for left in reversed(range(READS)):
        try:
            for chunk in stream(objects, file):
                target.write(chunk)
            return
        except DamagedObject as error:
            target.seek(start)
            target.truncate()
            if error.lost or not left:
                raise
            time.sleep(PAUSE * 2 ** (READS - 1 - left))


def read(objects: ObjectStore, file: File) -> bytes:
    """The verified file in memory. Raises DamagedObject as :func:`copy` does."""
    target = io.BytesIO()
    copy(objects, file, target)
    return target.getvalue()


@contextlib.contextmanager
def opened(objects: ObjectStore, file: File, folder: Path | None = None) -> Iterator[BinaryIO]:
    """A verified temporary copy of the file, open for reading at its start; `folder`: where to keep it meanwhile.

    Raises DamagedObject as :func:`copy` does.
    """
    with tempfile.TemporaryFile(dir=folder) as target:
        copy(objects, file, target)
        target.seek(0)
        yield target


def looked_at(objects: ObjectStore, key: str, check: Callable[[BinaryIO], Found]) -> Found:
    """Return what `check` returns for an object that has just been written and has no row yet, open for reading. A
    check that raises is repeated on bytes read again, `READS` times in all. Raises what `check` raises, NotFound.
    """
    for left in reversed(range(READS)):
        try:
            with objects.open(key) as source:
                return check(source)
        except Exception:
            if not left:
                raise
    raise AssertionError("the last read returns or raises")


def part(objects: ObjectStore, file: File, start: int, stop: int) -> Iterator[bytes]:
    """Bytes [start, stop) in chunks, verified where that is the whole file. A part has no digest: its receiver compares
    the joined file with the published one. Raises DamagedObject.
    """
    if (start, stop) == (0, file.bytes):
        yield from stream(objects, file)
        return
    try:
        yield from objects.read(file.key, start=start, stop=stop)
    except NotFound as error:
        raise _lost(file) from error


def open_ranges(objects: ObjectStore, file: File) -> BinaryIO:
    """The file for readers of ranges, which compare the whole file and each range with digests themselves
    (`core.evaluation.downstream.images.ShardImages`). Raises DamagedObject when it is gone.
    """
    try:
        return objects.open(file.key)
    except NotFound as error:
        raise _lost(file) from error


def check_there(objects: ObjectStore, file: File) -> None:
    """Raise DamagedObject when the object is gone or has another size; its bytes are not read."""
    try:
        size = objects.stat(file.key).bytes
    except NotFound as error:
        raise _lost(file) from error
    if size != file.bytes:
        raise _damaged(file, f"has {size} bytes, {file.bytes} were stored")


def _lost(file: File) -> DamagedObject:
    what = f"{file.name} of {file.resource_id} is gone from the object store"
    return DamagedObject(what, resource_id=file.resource_id, name=file.name, key=file.key, lost=True)


def _damaged(file: File, how: str) -> DamagedObject:
    what = f"{file.name} of {file.resource_id} is damaged in the object store: it {how}"
    return DamagedObject(what, resource_id=file.resource_id, name=file.name, key=file.key)
