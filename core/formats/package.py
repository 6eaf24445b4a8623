"""A zip written front to back: nothing is compressed, nothing is sought, and memory does not grow with its entries.

The standard library keeps a record of every entry in memory until the end; here they wait in a file. Everything inside
is stored as it is, because pictures and parquet are compressed already. zip64 where sizes, places or the number of
entries need it (PKWARE APPNOTE 6.3.10).
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

SUMS = "SHA256SUMS"
CHUNK = 1 << 20
#: From here on the fields of 32 and 16 bits are too small.
LARGEST_32, LARGEST_16 = 0xFFFFFFFF, 0xFFFF
_UTF8_NAMES = 0x0800
_MIDNIGHT_1980 = (0, 0x21)  # time and date: the format's first, as no clock goes in
_PLAIN_FILE = 0o100644 << 16
_MADE_ON_UNIX = 3 << 8


class Writable(Protocol):
    """Whatever takes bytes."""

    def write(self, chunk: bytes, /) -> object: ...


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
        self._put(_end(self._count, self._at - start, start))
        self.close()

    def close(self) -> None:
        """Close the lists: after :meth:`finish`, or where the zip is given up."""
        self._sums.close()
        self._directory.close()

    def _add(self, name: str, size: int, crc: int, digest: str, content: Iterable[bytes]) -> None:
        encoded = name.encode()
        place, large = self._at, size >= LARGEST_32
        extra = struct.pack("<HHQQ", 1, 16, size, size) if large else b""
        short = LARGEST_32 if large else size
        version = 45 if large or place >= LARGEST_32 else 20
        fields = (version, _UTF8_NAMES, 0, *_MIDNIGHT_1980, crc, short, short, len(encoded))
        self._put(struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields, len(extra)) + encoded + extra)
        for chunk in content:
            self._put(chunk)
        far = place >= LARGEST_32
        wide = [*((size, size) if large else ()), *((place,) if far else ())]
        extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        self._directory.write(
            struct.pack("<4sH5H3L2H", b"PK\x01\x02", _MADE_ON_UNIX | version, *fields, len(extra))
            + struct.pack("<3H2L", 0, 0, 0, _PLAIN_FILE, LARGEST_32 if far else place)
            + encoded
            + extra
        )
        self._sums.write(f"{digest}  {name}\n".encode())
        self._count += 1

    def _put(self, chunk: bytes) -> None:
        self._target.write(chunk)
        self._at += len(chunk)


def _end(count: int, size: int, start: int) -> bytes:
    """The end record, behind its 64-bit form where that is needed."""
    end = struct.pack(
        "<4s4H2LH",
        b"PK\x05\x06",
        0,
        0,
        *(2 * [min(count, LARGEST_16)]),
        min(size, LARGEST_32),
        min(start, LARGEST_32),
        0,
    )
    if count < LARGEST_16 and size < LARGEST_32 and start < LARGEST_32:
        return end
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, _MADE_ON_UNIX | 45, 45, 0, 0, count, count, size, start)
    return wide + struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1) + end


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk
