"""A zip made while it is sent, its records from :mod:`contracts.zip_records`.

Members are stored without compression, so that sizes are known; each CRC-32 stands behind its member, where it is known
by then, and once more in the directory at the end.
"""

import zlib
from collections.abc import Iterable, Iterator

from api.archives.streams import ArchiveStream, Member, made_when_read, member_of
from contracts.zip_records import descriptor, descriptor_size, directory_entry, end_record, local_header

#: CRC-32 by SHA-256, of what this process has read; forgotten when there are too many.
_known: dict[str, int] = {}
MOST_KNOWN = 1 << 16


class _Checked:
    """A member whose CRC-32 is learnt while it is read whole, or by reading it on request."""

    def __init__(self, member: Member, digest: str) -> None:
        self.member, self._digest = member, digest

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        crc = 0
        for piece in self.member.read(start, stop):
            crc = zlib.crc32(piece, crc)
            yield piece
        if (start, stop) == (0, self.member.size):
            self._learn(crc)

    def crc(self) -> int:
        if (known := _known.get(self._digest)) is not None:
            return known
        crc = 0
        for piece in self.member.read(0, self.member.size) if self.member.size else ():
            crc = zlib.crc32(piece, crc)
        self._learn(crc)
        return crc

    def _learn(self, crc: int) -> None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[self._digest] = crc


def zip_stream(members: Iterable[tuple[Member, str]]) -> ArchiveStream:
    """The zip of ``members``, each with the SHA-256 of its content; zip64 where sizes ask for it.

    Read from the start it reads each member once. Read from elsewhere it may read members before that again, whose
    CRC-32 the directory names, unless this process knows them already.
    """
    parts: list[Member] = []
    entries: list[tuple[_Checked, int]] = []
    at = 0
    for member, digest in members:
        checked = _Checked(member, digest)
        entries.append((checked, at))
        added = [
            member_of(f"header of {member.name}", local_header(member.name, member.size, None)),
            Member(member.name, member.size, checked.read),
            _descriptor(checked),
        ]
        parts += added
        at += sum(part.size for part in added)
    directory_size = sum(len(_entry(checked.member, 0, offset)) for checked, offset in entries)
    parts.append(
        made_when_read(
            "directory",
            directory_size,
            lambda: b"".join(_entry(checked.member, checked.crc(), offset) for checked, offset in entries),
        )
    )
    parts.append(member_of("end record", end_record(len(entries), directory_size, at)))
    return ArchiveStream(parts)


def _descriptor(checked: _Checked) -> Member:
    member = checked.member
    return made_when_read(
        f"descriptor of {member.name}",
        descriptor_size(member.size),
        lambda: descriptor(member.size, checked.crc()),
    )


def _entry(member: Member, crc: int, offset: int) -> bytes:
    return directory_entry(member.name, member.size, crc, offset, with_descriptor=True)
