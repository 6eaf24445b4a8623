"""Stored objects are compared with their committed SHA-256 whenever they are read."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from store.errors import DamagedObject
from store.objects import LocalObjects, verified
from store.resources.files import File

CONTENT = bytes(range(256)) * 10_000


class FlakyObjects(LocalObjects):
    """Flips one bit in each of the first `bad` answers to a read."""

    bad = 0

    def read(self, key: str, *, start: int = 0, stop: int | None = None, chunk: int = 1 << 18) -> Iterator[bytes]:
        chunks = super().read(key, start=start, stop=stop, chunk=chunk)
        if self.bad:
            self.bad -= 1
            first = bytearray(next(chunks))
            first[7] ^= 1
            yield bytes(first)
        yield from chunks


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlakyObjects:
    monkeypatch.setattr(verified, "PAUSE", 0.0)
    return FlakyObjects(tmp_path)


@pytest.fixture
def file(store: FlakyObjects) -> File:
    info = store.put("work/shard_1/1/000001-a.bin", CONTENT)
    return File("ds_1", "shards/a.tar", info.key, info.bytes, info.sha256, "application/x-tar")


def test_one_flipped_bit_in_an_answer_is_read_again(store: FlakyObjects, file: File) -> None:
    store.bad = verified.READS - 1
    assert verified.read(store, file) == CONTENT


def test_bytes_that_stay_wrong_are_an_error_without_the_object_key(store: FlakyObjects, file: File) -> None:
    store.bad = verified.READS
    target = io.BytesIO(b"before")
    target.seek(6)
    with pytest.raises(DamagedObject, match=r"shards/a\.tar of ds_1 is damaged") as raised:
        verified.copy(store, file, target)
    assert raised.value.key == file.key
    assert file.key not in raised.value.detail
    assert target.getvalue() == b"before", "nothing of the wrong bytes is left"


def test_a_stream_of_wrong_bytes_never_ends_whole(store: FlakyObjects, file: File) -> None:
    store.bad = 1
    received = bytearray()
    with pytest.raises(DamagedObject):
        received.extend(itertools.chain.from_iterable(verified.stream(store, file)))
    assert len(received) < len(CONTENT)
    assert b"".join(verified.stream(store, file)) == CONTENT


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_files_of_every_size_are_read_whole(store: FlakyObjects, size: int) -> None:
    content = CONTENT[:size]
    info = store.put("objects/a", content)
    file = File("upl_1", "content", info.key, info.bytes, info.sha256, "application/zip")
    assert b"".join(verified.stream(store, file)) == verified.read(store, file) == content
    with verified.opened(store, file) as source:
        assert source.read() == content


@pytest.mark.parametrize("wrong", [CONTENT[:-1], CONTENT + b"x", b""])
def test_cut_and_lengthened_objects_are_damaged(store: FlakyObjects, file: File, wrong: bytes) -> None:
    store.path(file.key).write_bytes(wrong)
    with pytest.raises(DamagedObject, match="bytes"):
        verified.read(store, file)
    with pytest.raises(DamagedObject, match="bytes"):
        verified.check_there(store, file)


def test_a_vanished_object_is_named_by_its_file(store: FlakyObjects, file: File) -> None:
    store.delete(file.key)
    for look in (
        lambda: verified.read(store, file),
        lambda: verified.check_there(store, file),
        lambda: list(verified.part(store, file, 5, 9)),
        lambda: verified.open_ranges(store, file),
    ):
        with pytest.raises(DamagedObject, match="is gone from the object store") as raised:
            look()
        assert raised.value.lost
        assert file.key not in str(raised.value)


def test_a_check_of_fresh_bytes_counts_when_it_fails_each_time(store: FlakyObjects, file: File) -> None:
    seen: list[str] = []

    def check(source: io.BufferedReader) -> str:
        seen.append(sha256(source.read()).hexdigest())
        if len(seen) == 1:
            raise ValueError("wrong bytes")
        return seen[-1]

    assert verified.looked_at(store, file.key, check) == file.sha256
    with pytest.raises(ValueError, match="always"):
        verified.looked_at(store, file.key, lambda source: (_ for _ in ()).throw(ValueError("always")))
