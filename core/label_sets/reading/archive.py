"""A bounded extractor for untrusted zip and tar(.gz) archives.

Names in the archive never become names on disk: entries are written to numbered files. Bytes are counted as they are
written, whatever the archive declares. Everything wrong is collected and told at once, each with the entry's name.
"""

import gzip
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from core.callbacks import ShouldStop, never_stop, stop_if_asked
from core.errors import LabelSetError, Problem
from core.label_sets.label_set import MAX_IMAGES
from core.label_sets.reading.entry_names import (
    ARCHIVE_SUFFIXES,
    NameRegister,
    fault,
    is_dropping,
    normalised,
    written_name,
)
from core.label_sets.reading.tar_reader import Kind, Readable, TarError, TarReader

CHUNK = 1 << 18
BEGINNING = 1 << 16
"""Bytes of a file that :func:`list_archive` reads at most."""
_MAGIC_ZIP, _MAGIC_GZIP = b"PK\x03\x04", b"\x1f\x8b"
_MAGIC_OTHERS = (b"PK\x05\x06", b"BZh", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")

#: CelebAMask-HQ has an image and up to 18 masks of parts a person; macOS adds ``__MACOSX/…/._NAME`` for each file.
ENTRIES_PER_IMAGE = 2 * (1 + 18)
_END, _LOCATOR, _WIDE_END = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"

ArchiveFormat = Literal["zip", "tar", "tar.gz"]


@dataclass(frozen=True)
class ArchiveLimits:
    """How much an archive may hold. Sizes in bytes."""

    max_archive_bytes: int = 4 << 30
    max_entries: int = ENTRIES_PER_IMAGE * MAX_IMAGES + 2000
    """Files and folders: those of ``MAX_IMAGES`` images, and 2,000 of other kinds."""
    max_directory_entries: int | None = None
    """Entries of a zip, whose directory is read into memory; None for ``max_entries``."""
    max_entry_bytes: int = 64 << 20
    max_total_bytes: int = 4 << 30
    max_ratio: float = 200.0
    """Bytes written for each byte of the archive, once more than ``ratio_floor_bytes`` are written."""
    ratio_floor_bytes: int = 64 << 20
    max_problems: int = 500
    archives_inside: bool = False
    """Whether files of the archive may be archives themselves; the caller reads these with limits of their own."""


@dataclass(frozen=True)
class Extracted:
    """What came out: numbered files by the entry's name, and the names of ignored entries."""

    format: ArchiveFormat
    files: dict[str, Path]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    name: str  # as written in the archive
    kind: Kind
    size: int  # as declared
    content: Readable | None  # None where it cannot be opened; then ``fault`` says why
    fault: str | None = None


class _Halt(Exception):
    """Nothing more can or may be read; the message is the last problem."""


@dataclass(frozen=True)
class Listed:
    """Names of an archive's files, without those that operating systems leave, and the beginning of some."""

    names: tuple[str, ...]
    beginnings: dict[str, bytes]


def extract_archive(
    archive: Path, into: Path, limits: ArchiveLimits | None = None, should_stop: ShouldStop = never_stop
) -> Extracted:
    """Unpack ``archive`` into numbered files in the folder ``into`` (made if absent).

    Raises :class:`core.errors.LabelSetError` with every problem found: the pointer is the entry's name, or the
    archive's own where no entry is to blame. Files already written then stay behind for the caller to remove.
    """
    with archive.open("rb") as stream:
        reading = _Reading(stream, archive, limits or ArchiveLimits(), should_stop)
        files = dict(reading.files(into))
        return Extracted(reading.format, files, tuple(reading.ignored))


def iterate_archive(
    archive: Path, into: Path, limits: ArchiveLimits | None = None, should_stop: ShouldStop = never_stop
) -> Iterator[tuple[str, Path]]:
    """Yield name and numbered file of each entry, in the archive's order; the caller removes what it has read.

    Raises what :func:`extract_archive` raises, after the last file that can be read.
    """
    with archive.open("rb") as stream:
        yield from _Reading(stream, archive, limits or ArchiveLimits(), should_stop).files(into)


def list_archive(
    archive: Path,
    limits: ArchiveLimits | None = None,
    should_stop: ShouldStop = never_stop,
    beginning_of: Callable[[str], bool] = lambda _name: False,
) -> Listed:
    """Return the names of an archive's files, without unpacking it. beginning_of: names of files to read a little of,
    up to ``BEGINNING`` bytes each.

    Raises :class:`core.errors.LabelSetError` with every problem of names and entries; the contents are not looked at.
    """
    with archive.open("rb") as stream:
        return _Reading(stream, archive, limits or ArchiveLimits(), should_stop).listed(beginning_of)


def _refusal(problems: Iterable[Problem]) -> LabelSetError:
    return LabelSetError("the archive is refused", problems)


class _Reading:
    """One pass over one archive: problems, names and bytes so far."""

    def __init__(self, stream: BinaryIO, archive: Path, limits: ArchiveLimits, should_stop: ShouldStop) -> None:
        self.stream, self.name, self.size = stream, archive.name, archive.stat().st_size
        self.limits, self.should_stop = limits, should_stop
        self.problems: list[Problem] = []
        self.register = NameRegister()
        self.ignored: list[str] = []
        self.numbered = 0
        self.written = 0
        self.most = min(limits.max_total_bytes, max(limits.ratio_floor_bytes, int(limits.max_ratio * self.size)))
        if self.size > limits.max_archive_bytes:
            raise _refusal(
                [Problem(f"is {self.size:,} bytes: at most {limits.max_archive_bytes:,} are taken", self.name)]
            )
        self.format, self.entries = self._open()

    def files(self, into: Path) -> Iterator[tuple[str, Path]]:
        """Write each file to the folder ``into`` and yield its name and path. Raises in the end for all problems."""
        into.mkdir(parents=True, exist_ok=True)
        with self._collecting():
            for name, entry in self._named():
                path = into / f"{self.numbered:06d}"
                wrong = self._write(name, entry, path)
                if wrong is not None:
                    self._add(wrong, name)
                else:
                    self.numbered += 1
                    yield name, path

    def listed(self, beginning_of: Callable[[str], bool]) -> Listed:
        """Return names and beginnings of files. Raises for all problems of names and entries."""
        names, beginnings = [], {}
        with self._collecting():
            for name, entry in self._named():
                names.append(name)
                if beginning_of(name) and entry.content is not None:
                    with suppress(zipfile.BadZipFile):  # found again when the file is read
                        beginnings[name] = entry.content.read(BEGINNING)
        return Listed(tuple(names), beginnings)

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        """Add what ends the reading to the problems, and raise where there are any."""
        try:
            yield
        except (_Halt, TarError) as halt:
            self.problems.append(Problem(str(halt), self.name))
        except (gzip.BadGzipFile, zlib.error) as error:
            self.problems.append(Problem(f"its compression is damaged: {error}", self.name))
        except EOFError:
            self.problems.append(Problem("ends before its compressed data does: it is truncated", self.name))
        if self.problems:
            raise _refusal(self.problems)

    def _named(self) -> Iterator[tuple[str, _Entry]]:
        """Yield the files, droppings left out, under their normalised names."""
        for count, entry in enumerate(self.entries, start=1):
            stop_if_asked(self.should_stop)
            if count > self.limits.max_entries:
                raise self._too_many(self.limits.max_entries)
            name = normalised(entry.name)
            if self._is_taken(name, entry):
                yield name, entry

    def _open(self) -> tuple[ArchiveFormat, Iterator[_Entry]]:
        head = self.stream.read(512)
        self.stream.seek(0)
        if head.startswith(_MAGIC_ZIP):
            return "zip", self._zip_entries()
        if head.startswith(_MAGIC_GZIP):
            return "tar.gz", self._tar_entries(gzip.GzipFile(fileobj=self.stream))
        if head[257:262] == b"ustar":
            return "tar", self._tar_entries(self.stream)
        what = "is empty" if not head else "is neither a zip nor a tar archive"
        raise _refusal([Problem(f"{what}: send .zip, .tar or .tar.gz", self.name)])

    def _is_taken(self, name: str, entry: _Entry) -> bool:
        """Return whether an entry is a file to read; add what is wrong with it to the problems."""
        folder = entry.kind == "folder"
        if not name and folder:
            return False
        wrong = fault(name) or _kind_fault(entry.kind) or self.register.add(name, folder) or entry.fault
        if wrong is None and folder and entry.size:
            wrong = "a folder with content of its own"
        if wrong is not None:
            self._add(wrong, name)
            return False
        if not folder and is_dropping(name):
            self.ignored.append(name)
            return False
        return not folder

    def _add(self, detail: str, entry_name: str) -> None:
        # A pointer is shown to people: control characters and lone surrogates are spelt out.
        self.problems.append(Problem(detail, entry_name if entry_name.isprintable() else ascii(entry_name)[1:-1]))
        if len(self.problems) >= self.limits.max_problems:
            raise _Halt("has more problems than are listed here")

    def _write(self, name: str, entry: _Entry, path: Path) -> str | None:
        """Write the content to a file; what is wrong with it, or None."""
        assert entry.content is not None
        if entry.size > self.limits.max_entry_bytes:
            return f"declares {entry.size:,} bytes: a file has at most {self.limits.max_entry_bytes:,}"
        count, head = 0, b""
        try:
            with path.open("wb") as target:
                while chunk := entry.content.read(CHUNK):
                    head = head or chunk[:512]
                    count += len(chunk)
                    self._count(len(chunk))
                    if count > self.limits.max_entry_bytes:
                        return (
                            f"holds more than {self.limits.max_entry_bytes:,} bytes, though it declares {entry.size:,}"
                        )
                    target.write(chunk)
        except zipfile.BadZipFile as error:
            return f"its content is damaged, or its size misstated: {error}"
        except (zlib.error, EOFError) as error:
            if isinstance(entry.content, TarReader):
                raise  # the stream around all entries is damaged
            return f"its compressed data is damaged: {error or 'it ends too early'}"
        if count != entry.size:
            return f"declares {entry.size:,} bytes and holds {count:,}"
        if not self.limits.archives_inside and _is_archive(name, head):
            return "an archive inside the archive: unpack it first"
        return None

    def _count(self, size: int) -> None:
        self.written += size
        if self.written > self.most:
            raise _Halt(
                f"unpacks to more than {self.most:,} bytes from {self.size:,}: "
                f"at most {self.limits.max_total_bytes:,} in all and {self.limits.max_ratio:g} for each byte are taken"
            )

    def _tar_entries(self, stream: Readable) -> Iterator[_Entry]:
        reader = TarReader(_Bounded(stream, self.most + 4096 * self.limits.max_entries))
        while header := reader.next():
            yield _Entry(header.name, header.kind, header.size, reader)

    def _zip_entries(self) -> Iterator[_Entry]:
        self._check_directory_size()
        try:
            archive = zipfile.ZipFile(self.stream)
        except (zipfile.BadZipFile, struct.error, ValueError, OSError, NotImplementedError) as error:
            raise _Halt(f"its directory is damaged: {error}") from error
        with archive:
            infos = archive.infolist()
            if not infos:
                raise _Halt("is empty")
            if min(info.header_offset for info in infos) != 0:
                raise _Halt("holds bytes before its first entry")
            for info in infos:
                yield from self._zip_entry(archive, info)

    def _zip_entry(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[_Entry]:
        name = written_name(info.orig_filename, bool(info.flag_bits & 0x800))  # ``filename`` is cut at a NUL
        mode = info.external_attr >> 16
        kind: Kind = "folder" if name.endswith(("/", "\\")) else "file"
        if stat.S_ISLNK(mode):
            kind = "link"
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = "device"
        wrong = None
        if info.flag_bits & 0x1:
            wrong = "is encrypted"
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            wrong = f"uses compression method {info.compress_type}: only store and deflate are taken"
        if wrong or kind != "file":
            yield _Entry(name, kind, info.file_size, None, wrong)
            return
        try:
            content = archive.open(info)
        except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, NotImplementedError) as error:
            yield _Entry(name, kind, info.file_size, None, f"its header is damaged: {error}")
            return
        with content:
            yield _Entry(name, kind, info.file_size, content)

    def _check_directory_size(self) -> None:
        """The standard reader loads the whole central directory: refuse a huge one before that."""
        tail_start = max(0, self.size - 65557)
        self.stream.seek(tail_start)
        tail = self.stream.read()
        at = tail.rfind(_END)
        if at < 0 or len(tail) < at + 22:
            raise _Halt("its directory, which stands at the end, is missing: it is truncated")
        count, directory_bytes, _, comment = struct.unpack("<HLLH", tail[at + 10 : at + 22])
        if tail_start + at + 22 + comment != self.size:
            raise _Halt("holds bytes after its end, or is truncated")
        count, directory_bytes = self._wide_end(tail_start + at) or (count, directory_bytes)
        most = self.limits.max_directory_entries or self.limits.max_entries
        if count > most or directory_bytes > most * 2048:
            raise self._too_many(most)
        self.stream.seek(0)

    def _too_many(self, most: int) -> _Halt:
        return _Halt(f"holds more than {most:,} entries: leave out files that are not needed")

    def _wide_end(self, end: int) -> tuple[int, int] | None:
        """Read entry count and directory bytes from the zip64 record before the end record at ``end``, if there is one.

        The end record then holds 0xFFFF and 0xFFFFFFFF in their place (PKWARE APPNOTE 6.3.10, 4.4.1.4).
        """
        if end < 76:
            return None
        self.stream.seek(end - 76)
        record = self.stream.read(76)  # the record of 56 bytes, its locator of 20
        if not record.startswith(_WIDE_END) or record[56:60] != _LOCATOR:
            return None
        count, directory_bytes = struct.unpack("<QQ", record[32:48])
        return count, directory_bytes


class _Bounded(io.RawIOBase):
    """A stream that gives ``limit`` bytes at most: extended headers, padding and skipped content count as well."""

    def __init__(self, stream: Readable, limit: int) -> None:
        self._stream, self._left, self._limit = stream, limit, limit

    def read(self, size: int = -1, /) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _Halt(f"unpacks to more than {self._limit:,} bytes")
        return content


def _kind_fault(kind: Kind) -> str | None:
    return {
        "link": "a link: only plain files are taken",
        "device": "a device or pipe: only plain files are taken",
        "other": "neither a plain file nor a folder",
    }.get(kind)


def _is_archive(name: str, head: bytes) -> bool:
    by_content = head[257:262] == b"ustar" or head.startswith((_MAGIC_ZIP, _MAGIC_GZIP, *_MAGIC_OTHERS))
    return by_content or name.lower().endswith(ARCHIVE_SUFFIXES)
