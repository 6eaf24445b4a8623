"""Records of a zip whose members are stored without compression, in 64 bits where 32 or 16 are too few.

Format: PKWARE APPNOTE 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. No clock and no owner goes
in, so that the same members make the same bytes. Names are UTF-8; sizes and offsets are in bytes.
"""

import struct

#: From these values on, the fields of 32 and 16 bits hold the largest number and the true one follows in 64 bits.
LARGEST_32, LARGEST_16 = 0xFFFFFFFF, 0xFFFF

_LOCAL, _ENTRY, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
_DESCRIPTOR, _DESCRIPTOR_64 = struct.Struct("<4s3L"), struct.Struct("<4sL2Q")
_END_64, _LOCATOR_64 = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_CRC_FOLLOWS, _UTF8 = 1 << 3, 1 << 11
_PLAIN, _ZIP64 = 20, 45  # versions needed to read
_EPOCH = 1 << 5 | 1  # 1 January 1980, the first day of the format
_MADE_ON_UNIX, _PLAIN_FILE = 3 << 8, 0o100644 << 16


def local_header(name: str, size: int, crc: int | None) -> bytes:
    """Return the header before a member. Its CRC-32 is None where a :func:`descriptor` follows the member."""
    encoded, large = name.encode(), size >= LARGEST_32
    known = crc is not None
    # A descriptor has sizes of 64 bits only where the header has room for them.
    extra = struct.pack("<2H2Q", 1, 16, *(2 * [size if known else 0])) if large else b""
    short = LARGEST_32 if large else size if known else 0
    version = _ZIP64 if large else _PLAIN
    fields = (version, _flags(known), 0, 0, _EPOCH, crc or 0, short, short, len(encoded), len(extra))
    return _LOCAL.pack(b"PK\3\4", *fields) + encoded + extra


def descriptor_size(size: int) -> int:
    """Return the length of the descriptor behind a member of ``size`` bytes."""
    return (_DESCRIPTOR_64 if size >= LARGEST_32 else _DESCRIPTOR).size


def descriptor(size: int, crc: int) -> bytes:
    """Return the record behind a member whose header did not hold its CRC-32."""
    return (_DESCRIPTOR_64 if size >= LARGEST_32 else _DESCRIPTOR).pack(b"PK\7\x08", crc, size, size)


def directory_entry(name: str, size: int, crc: int, offset: int, *, with_descriptor: bool) -> bytes:
    """Return a member's entry in the directory. ``offset``: where its local header begins."""
    encoded = name.encode()
    wide = [*((size, size) if size >= LARGEST_32 else ()), *((offset,) if offset >= LARGEST_32 else ())]
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    short = min(size, LARGEST_32)
    version = _ZIP64 if wide else _PLAIN
    head = (_MADE_ON_UNIX | version, version, _flags(not with_descriptor), 0, 0, _EPOCH, crc, short, short)
    tail = (len(encoded), len(extra), 0, 0, 0, _PLAIN_FILE, min(offset, LARGEST_32))
    return _ENTRY.pack(b"PK\1\2", *head, *tail) + encoded + extra


def end_record(count: int, size: int, start: int) -> bytes:
    """Return the records behind a directory of ``count`` entries and ``size`` bytes that begins at ``start``."""
    wide = b""
    if count >= LARGEST_16 or size >= LARGEST_32 or start >= LARGEST_32:
        wide = _END_64.pack(b"PK\6\6", 44, _MADE_ON_UNIX | _ZIP64, _ZIP64, 0, 0, count, count, size, start)
        wide += _LOCATOR_64.pack(b"PK\6\7", 0, start + size, 1)
    entries = min(count, LARGEST_16)
    return wide + _END.pack(b"PK\5\6", 0, 0, entries, entries, min(size, LARGEST_32), min(start, LARGEST_32), 0)


def _flags(crc_in_header: bool) -> int:
    return _UTF8 if crc_in_header else _UTF8 | _CRC_FOLLOWS
