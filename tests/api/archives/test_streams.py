"""Archives made while they are sent, opened by readers that are not ours, at every size that changes the format."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from api.archives import zip_stream as module
from api.archives.streams import ArchiveStream, Member, member_of, tar_stream
from api.archives.zip_stream import zip_stream
from contracts import zip_records

FILES = {"heads/SHA256SUMS": b"", "heads/ü.txt": b"umlaut", "heads/shards/0.tar": bytes(range(256)) * 300}
MEMBERS = [member_of(name, content) for name, content in FILES.items()]


def with_digests(members: list[Member]) -> list[tuple[Member, str]]:
    return [(member, sha256(f"{member.name} {member.size}".encode()).hexdigest()) for member in members]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_known", {})


def content(stream: ArchiveStream) -> bytes:
    whole = b"".join(stream.read(0, stream.size))
    assert len(whole) == stream.size
    return whole


def test_a_zip_is_what_it_was_made_of(tmp_path: Path) -> None:
    whole = content(zip_stream(with_digests(MEMBERS)))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
    assert whole == content(zip_stream(with_digests(MEMBERS)))
    if shutil.which("unzip"):
        (tmp_path / "a.zip").write_bytes(whole)
        tested = subprocess.run(["unzip", "-tq", "a.zip"], cwd=tmp_path, capture_output=True, text=True)
        assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_any_part_is_that_part_of_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stream() -> ArchiveStream:
        monkeypatch.setattr(module, "_known", {})
        return tar_stream(MEMBERS) if kind == "tar" else zip_stream(with_digests(MEMBERS))

    whole = content(stream())
    size = len(whole)
    for start, stop in ((0, 1), (1, size), (40, 50), (size // 2, size), (size - 60, size), (size - 1, size)):
        assert b"".join(stream().read(start, stop)) == whole[start:stop]


def test_a_file_that_is_too_short_breaks_the_stream_off() -> None:
    short = Member("short", 10, lambda start, stop: iter([b"123"]))
    for stream in (tar_stream([short]), zip_stream(with_digests([short]))):
        with pytest.raises(RuntimeError, match="3 bytes where 10 were announced"):
            content(stream)


def test_an_empty_zip() -> None:
    with zipfile.ZipFile(io.BytesIO(content(zip_stream([])))) as archive:
        assert archive.namelist() == []


def test_more_entries_than_the_end_record_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if its 16 bits were fewer: the number of entries is in the 64-bit record alone."""
    monkeypatch.setattr(zip_records, "LARGEST_16", 2)
    whole = content(zip_stream(with_digests([*MEMBERS, member_of("last", b"last")])))
    assert whole[-12:-10] == b"\2\0"
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.namelist() == [*FILES, "last"]


class Sparse(io.RawIOBase):
    """A stream as a file: what is read is made when it is read, so that gigabytes need no disk."""

    def __init__(self, stream: ArchiveStream) -> None:
        super().__init__()
        self.stream, self.at = stream, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.stream.size}[whence] + offset
        return self.at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = b"".join(self.stream.read(self.at, min(self.at + len(view), self.stream.size)))
        view[: len(data)] = data
        self.at += len(data)
        return len(data)


def zeros(name: str, size: int) -> Member:
    def read(start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, 1 << 20):
            yield bytes(min(1 << 20, stop - at))

    return Member(name, size, read)


def test_sizes_and_places_beyond_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member of 5 GiB, and one behind it. The large one's CRC-32 is put where it would stand after one reading."""
    large, behind = zeros("large", 5 << 30), member_of("behind", b"here")
    members = with_digests([large, behind])
    monkeypatch.setattr(module, "_known", {members[0][1]: 7, members[1][1]: zlib.crc32(b"here")})
    file = cast(BinaryIO, io.BufferedReader(Sparse(zip_stream(members))))
    with zipfile.ZipFile(file) as archive:
        assert [(info.filename, info.file_size, info.CRC) for info in archive.infolist()] == [
            ("large", 5 << 30, 7),
            ("behind", 4, zlib.crc32(b"here")),
        ]
        assert archive.read("behind") == b"here"
        with archive.open("large") as opened:
            assert opened.read(10) == bytes(10)
    assert tar_stream([large, behind]).size > 5 << 30
    with tarfile.open(fileobj=cast(BinaryIO, io.BufferedReader(Sparse(tar_stream([large, behind]))))) as tar:
        assert tar.getmember("behind").size == 4
