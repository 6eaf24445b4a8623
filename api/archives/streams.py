"""One file made while it is sent: no temporary file, its size known before the first byte, any part of it readable.

Same members, same bytes: no clock and no owner goes into a tar or a zip made here.
"""

import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

BLOCK = tarfile.BLOCKSIZE
Read = Callable[[int, int], Iterator[bytes]]


@dataclass(frozen=True)
class Member:
    """A file of an archive. ``read(start, stop)`` yields its bytes [start, stop) in pieces."""

    name: str
    size: int
    read: Read


def member_of(name: str, content: bytes) -> Member:
    """A small file held in memory."""
    return made_when_read(name, len(content), lambda: content)


def made_when_read(name: str, size: int, content: Callable[[], bytes]) -> Member:
    """Bytes whose number is known before they are."""

    def read(start: int, stop: int) -> Iterator[bytes]:
        yield content()[start:stop]

    return Member(name, size, read)


class ArchiveStream:
    """Parts one behind the other, ``size`` bytes long."""

    def __init__(self, parts: Iterable[Member]) -> None:
        self._parts = list(parts)
        self.size = sum(part.size for part in self._parts)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Bytes [start, stop) in pieces. A file that is shorter than announced breaks the stream off."""
        at = 0
        for part in self._parts:
            first, last = max(start - at, 0), min(stop - at, part.size)
            at += part.size
            if first >= last:
                continue
            sent = 0
            for piece in part.read(first, last):
                sent += len(piece)
                yield piece
            if sent != last - first:
                raise RuntimeError(f"{part.name}: {sent} bytes where {last - first} were announced")


def tar_stream(members: Iterable[Member]) -> ArchiveStream:
    """The tar of ``members``, in the pax format."""

    def parts() -> Iterator[Member]:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.size, info.mode = member.size, 0o644
            yield member_of(f"header of {member.name}", info.tobuf(tarfile.PAX_FORMAT))
            yield member
            yield member_of(f"padding of {member.name}", bytes(-member.size % BLOCK))
        yield member_of("end marker", bytes(2 * BLOCK))

    return ArchiveStream(parts())
