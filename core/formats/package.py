"""A zip written front to back: nothing is compressed, nothing is sought, and memory does not grow with its entries.

The standard library keeps a record of every entry in memory until the end; here they wait in a file. Everything inside
is stored without compression, because images and parquet are compressed already (:mod:`contracts.zip_records`).
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from contracts.zip_records import directory_entry, end_record, local_header

SUMS = "SHA256SUMS"
CHUNK = 1 << 20


class Writable(Protocol):
    """Whatever takes bytes."""

    def write(self, chunk: bytes, /) -> object:
        """Write the whole chunk."""
        ...


class Package:
    """The zip on its way to ``target``. It is whole only after :meth:`finish`. ``scratch``: a folder for lists."""

    def __init__(self, target: Writable, scratch: Path) -> None:
        self._target = target
        self._at = 0
        self._count = 0
        self._directory = (scratch / "zip-directory").open("w+b")
        self._sums = (scratch / "zip-sums").open("w+b")

    def add(self, name: str, content: bytes) -> None:
        """Add a file held in memory."""
        self._add(name, len(content), zlib.crc32(content), hashlib.sha256(content).hexdigest(), (content,))

    def add_file(self, name: str, path: Path) -> None:
        """Add a file from disk, of any size."""
        size, crc, digest = 0, 0, hashlib.sha256()
        for chunk in _chunks(path):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
            digest.update(chunk)
        self._add(name, size, crc, digest.hexdigest(), _chunks(path))

    def finish(self) -> None:
        """Add ``SHA256SUMS`` and write the directory."""
        self._sums.flush()
        self.add_file(SUMS, Path(self._sums.name))
        start = self._at
        self._directory.seek(0)
        while chunk := self._directory.read(CHUNK):
            self._put(chunk)
        self._put(end_record(self._count, self._at - start, start))
        self.close()

    def close(self) -> None:
        """Close the lists: after :meth:`finish`, or where the zip is given up."""
        self._sums.close()
        self._directory.close()

    def _add(self, name: str, size: int, crc: int, digest: str, content: Iterable[bytes]) -> None:
        offset = self._at
        self._put(local_header(name, size, crc))
        for chunk in content:
            self._put(chunk)
        self._directory.write(directory_entry(name, size, crc, offset, with_descriptor=False))
        self._sums.write(f"{digest}  {name}\n".encode())
        self._count += 1

    def _put(self, chunk: bytes) -> None:
        self._target.write(chunk)
        self._at += len(chunk)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk
