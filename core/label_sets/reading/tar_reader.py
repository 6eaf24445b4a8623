"""Reading tar archives front to back, entry by entry, with nothing taken on trust; and the one header that we write.

The standard library's reader ends silently at a damaged header, and reads extended headers of any declared size into
memory. This one names what is wrong and holds at most one bounded header. POSIX ustar, pax and GNU long names are read;
sparse files are refused.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

BLOCK = 512
END_MARK = bytes(2 * BLOCK)
MAX_EXTENDED_HEADER = 64 * 1024
MAX_EXTENDED_HEADERS_IN_A_ROW = 4

Kind = Literal["file", "folder", "link", "device", "other"]
_KINDS: dict[bytes, Kind] = {
    b"0": "file", b"\0": "file", b"7": "file",
    b"1": "link", b"2": "link",
    b"3": "device", b"4": "device", b"6": "device",
    b"5": "folder",
}  # fmt: skip


# POSIX ustar: mode 0644, no owner, no time, a regular file. Name, size and checksum are filled in.
_BEFORE_SIZE = b"0000644\0" + 2 * b"0000000\0"
_AFTER_SIZE = 11 * b"0" + b"\0"
_AFTER_CHECKSUM = b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(247)
_FIXED_SUM = sum(_BEFORE_SIZE + _AFTER_SIZE + 8 * b" " + _AFTER_CHECKSUM)


def file_header(name: str, size: int) -> bytes:
    """The header block of a file, as the standard library writes it, several times faster.

    ``name``: ASCII, up to 100 characters. ``size``: below 8 GiB.
    """
    named, digits = name.encode("ascii"), b"%011o\0" % size
    assert len(named) <= 100
    assert len(digits) == 12
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(named) + sum(digits))
    return b"".join((named.ljust(100, b"\0"), _BEFORE_SIZE, digits, _AFTER_SIZE, checksum, _AFTER_CHECKSUM))


class TarError(ValueError):
    """The archive's structure is broken from here on; the message says how."""


class Readable(Protocol):
    """Anything with a blocking ``read(n)`` that returns fewer bytes only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes."""
        ...


@dataclass(frozen=True)
class TarHeader:
    """One entry: its name as written, what it is, and how many bytes of content it declares."""

    name: str
    kind: Kind
    size: int


class TarReader:
    """Entries of a tar ``stream`` in order; after :meth:`next`, :meth:`read` gives the entry's content.

    Raises :class:`TarError` on a damaged or truncated archive, and on bytes after its end.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._left = 0  # content bytes of the present entry not yet read
        self._padding = 0
        self._name = ""

    def next(self) -> TarHeader | None:
        """The next entry, or None at the archive's proper end. What is left of the present one is passed over."""
        while self._left:
            self.read(1 << 20)
        self._exactly(self._padding)
        self._padding = 0
        long_name: str | None = None
        pax: dict[str, str] = {}
        for _ in range(MAX_EXTENDED_HEADERS_IN_A_ROW):
            block = self._stream.read(BLOCK)
            if block == bytes(BLOCK):
                if long_name or pax:
                    raise TarError("ends after an extended header")
                self._check_end()
                return None
            header, flag = _parse(block, after=self._name)
            if flag in b"LKxg":
                content = self._extended(header)
                if flag == b"L":
                    long_name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
                elif flag == b"x":
                    pax |= _pax_records(content)
                continue
            name = long_name if long_name is not None else pax.get("path", header.name)
            size = _pax_size(pax["size"]) if "size" in pax else header.size
            kind: Kind = "other" if any(key.startswith("GNU.sparse") for key in pax) else header.kind
            if kind == "file" and name.endswith("/"):
                kind = "folder"  # how v7 archives write folders
            # Links and devices have no content, whatever size they declare.
            self._left = 0 if kind in ("link", "device") else size
            self._padding = -self._left % BLOCK
            self._name = name
            return TarHeader(name, kind, size)
        raise TarError(f"more than {MAX_EXTENDED_HEADERS_IN_A_ROW} extended headers in a row after {self._name!r}")

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the present entry's content; empty at its end."""
        content = self._exactly(min(size, self._left))
        self._left -= len(content)
        return content

    def _extended(self, header: TarHeader) -> bytes:
        if header.size > MAX_EXTENDED_HEADER:
            raise TarError(f"an extended header of {header.size:,} bytes after {self._name!r}")
        content = self._exactly(header.size)
        self._exactly(-header.size % BLOCK)
        return content

    def _exactly(self, size: int) -> bytes:
        content = self._stream.read(size) if size else b""
        if len(content) != size:
            raise TarError(f"ends in the middle of {self._name!r}: it is truncated")
        return content

    def _check_end(self) -> None:
        while rest := self._stream.read(1 << 16):
            if rest.strip(b"\0"):
                raise TarError("holds bytes after its end")


def _parse(block: bytes, after: str) -> tuple[TarHeader, bytes]:
    if len(block) < BLOCK:
        where = f"after {after!r}" if after else "at its beginning"
        raise TarError(f"ends {where} without an end mark: it is truncated")
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _number(block[148:156]) != checksum:
        raise TarError(f"the header after {after!r} is damaged" if after else "is not a tar archive")
    name = block[:100].rstrip(b"\0")  # a NUL within it is refused with the name, not cut there
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    full = (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")
    flag = block[156:157]
    size = _number(block[124:136])
    if size < 0:
        raise TarError(f"the size of {full!r} is not a number")
    return TarHeader(full, _KINDS.get(flag, "other"), size), flag


def _number(field: bytes) -> int:
    """Octal digits, or big-endian binary behind a byte 0x80 (GNU); -1 for anything else."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        return -1
    return int(digits or b"0", 8)


def _pax_size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise TarError("an extended header gives a size that is not a number")
    return int(text)


def _pax_records(content: bytes) -> dict[str, str]:
    r"""Return the ``length key=value\n`` records, as POSIX defines them."""
    records: dict[str, str] = {}
    while content:
        digits, space, _ = content.partition(b" ")
        length = int(digits) if space and digits.isdigit() and len(digits) < 8 else 0
        record = content[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not equals or length > len(content) or not record.endswith(b"\n"):
            raise TarError("an extended header is damaged")
        records[key.decode("utf-8", "surrogateescape")] = value[:-1].decode("utf-8", "surrogateescape")
        content = content[length:]
    return records
