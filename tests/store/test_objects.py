"""The local folder keeps what an object store promises."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
from pathlib import Path

import pytest

from store.errors import DigestMismatch, NotFound, StorageFull, TooLarge
from store.objects import LocalObjects

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


def test_what_is_put_is_read_back(objects: LocalObjects) -> None:
    stored = objects.put("a/b/c.bin", io.BytesIO(CONTENT), size=len(CONTENT), sha256=SHA256)
    assert (stored.bytes, stored.sha256) == (len(CONTENT), SHA256)
    assert b"".join(objects.read("a/b/c.bin")) == CONTENT
    assert b"".join(objects.read("a/b/c.bin", start=10, stop=20, chunk=3)) == CONTENT[10:20]
    assert b"".join(objects.read("a/b/c.bin", start=len(CONTENT) - 5, stop=10**9)) == CONTENT[-5:]
    assert objects.stat("a/b/c.bin").bytes == len(CONTENT)
    with objects.open("a/b/c.bin") as file:
        assert file.read(3) == CONTENT[:3]
    assert objects.presign("a/b/c.bin") is None


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        ({"size": len(CONTENT) + 1}, DigestMismatch),
        ({"size": len(CONTENT) - 1}, TooLarge),
        ({"sha256": "0" * 64}, DigestMismatch),
    ],
)
def test_other_bytes_than_declared_are_refused_and_leave_nothing(
    objects: LocalObjects, declared: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        objects.put("a", CONTENT, **declared)
    assert list(objects.list()) == []
    assert _files(objects.root) == []


def test_nothing_is_seen_before_finish(objects: LocalObjects) -> None:
    writer = objects.start("a/b")
    writer.write(b"half")
    assert list(objects.list()) == []
    with pytest.raises(NotFound):
        objects.stat("a/b")
    writer.abort()
    writer.abort()
    assert _files(objects.root) == []


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.unfinished", "a\0b", "a/", "."])
def test_keys_do_not_leave_the_folder(objects: LocalObjects, key: str) -> None:
    with pytest.raises(NotFound):
        objects.put(key, b"x")
    with pytest.raises(NotFound):
        objects.open(key)


def test_absent_objects(objects: LocalObjects) -> None:
    for look in (objects.stat, objects.open, objects.read):
        with pytest.raises(NotFound):
            look("none")
    objects.delete("none")


def test_list_by_prefix_in_order(objects: LocalObjects) -> None:
    for key in ("work/b/1", "work/a/2", "work/a/10", "works/c", "up/d"):
        objects.put(key, b"x")
    assert [found.key for found in objects.list("work/a/")] == ["work/a/10", "work/a/2"]
    assert [found.key for found in objects.list("work")] == ["work/a/10", "work/a/2", "work/b/1", "works/c"]
    assert len(list(objects.list())) == 5


def test_a_full_disk_has_a_name(objects: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        objects.put("a", b"x")
    assert _files(objects.root) == []


def test_deleting_beside_writing_loses_nothing(objects: LocalObjects) -> None:
    """Both work in the same folder, which deleting prunes when it is empty."""

    def write(name: str) -> None:
        for number in range(50):
            objects.put(f"same/{name}-{number}", b"x")
            if number % 2:
                objects.delete(f"same/{name}-{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(objects.list("same/"))) == 4 * 25


def test_what_an_unfinished_writer_left_is_swept(objects: LocalObjects) -> None:
    writer = objects.start("a")
    writer.write(b"x")
    assert objects.sweep_unfinished(3600) == 0
    assert objects.sweep_unfinished(-1) == 1
    writer.abort()


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]
