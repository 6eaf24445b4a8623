"""A zip made while it is sent, and zip64 where it is large.

The format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. Members are stored as they are, so that sizes
are known; each CRC-32 stands behind its member, where it is known by then, and once more in the directory at the end.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator

from api.archives.streams import ArchiveStream, Member, made_when_read, member_of

LOCAL, DESCRIPTOR, DESCRIPTOR_64 = struct.Struct("<4s5H3L2H"), struct.Struct("<4s3L"), struct.Struct("<4sL2Q")
ENTRY, END = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
END_64, LOCATOR_64 = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
SIZE_FOLLOWS, UTF8 = 1 << 3, 1 << 11
FLAGS = SIZE_FOLLOWS | UTF8
PLAIN, ZIP64 = 20, 45  # versions needed to read
MOST, MOST_ENTRIES = 0xFFFFFFFF, 0xFFFF
EPOCH = 1 << 5 | 1  # 1 January 1980, where a zip's time begins
MADE_ON_UNIX, PERMISSIONS = 3 << 8, 0o100644 << 16


#: CRC-32 by SHA-256, of what this process has read; forgotten when there are too many.
_known: dict[str, int] = {}
MOST_KNOWN = 1 << 16


class _Checked:
    """A member whose CRC-32 is learnt while it is read whole, or by reading it when somebody wants to know."""

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
            member_of(f"header of {member.name}", _local_header(member)),
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
    parts.append(member_of("end record", _end(len(entries), directory_size, at)))
    return ArchiveStream(parts)


def _is_large(member: Member) -> bool:
    return member.size >= MOST


def _local_header(member: Member) -> bytes:
    name = member.name.encode()
    # The sizes of a large one follow in 64 bits only where the header has room for them here.
    extra = struct.pack("<2H2Q", 1, 16, 0, 0) if _is_large(member) else b""
    size = MOST if _is_large(member) else 0
    version = ZIP64 if _is_large(member) else PLAIN
    return LOCAL.pack(b"PK\3\4", version, FLAGS, 0, 0, EPOCH, 0, size, size, len(name), len(extra)) + name + extra


def _descriptor(checked: _Checked) -> Member:
    member = checked.member
    layout = DESCRIPTOR_64 if _is_large(member) else DESCRIPTOR

    def content() -> bytes:
        return layout.pack(b"PK\7\x08", checked.crc(), member.size, member.size)

    return made_when_read(f"descriptor of {member.name}", layout.size, content)


def _entry(member: Member, crc: int, offset: int) -> bytes:
    """The directory's entry."""
    name = member.name.encode()
    wide = [member.size, member.size] if _is_large(member) else []
    wide += [offset] if offset >= MOST else []
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size = min(member.size, MOST)
    version = ZIP64 if wide else PLAIN
    head = (b"PK\1\2", MADE_ON_UNIX | version, version, FLAGS, 0, 0, EPOCH, crc, size, size, len(name), len(extra))
    return ENTRY.pack(*head, 0, 0, 0, PERMISSIONS, min(offset, MOST)) + name + extra


def _end(count: int, size: int, start: int) -> bytes:
    """What stands behind the directory of ``count`` entries and ``size`` bytes that begins at ``start``."""
    wide = b""
    if count >= MOST_ENTRIES or size >= MOST or start >= MOST:
        wide = END_64.pack(b"PK\6\6", 44, MADE_ON_UNIX | ZIP64, ZIP64, 0, 0, count, count, size, start)
        wide += LOCATOR_64.pack(b"PK\6\7", 0, start + size, 1)
    entries = min(count, MOST_ENTRIES)
    return wide + END.pack(b"PK\5\6", 0, 0, entries, entries, min(size, MOST), min(start, MOST), 0)
