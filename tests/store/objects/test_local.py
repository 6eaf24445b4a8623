"""What only a folder can do wrong: leave files behind, or be full."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from store.errors import DigestMismatch, StorageFull
from store.objects import LocalObjects


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


def test_a_full_disk_has_a_name(objects: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        objects.put("a", b"x")
    assert _files(objects.root) == []


def test_what_is_refused_leaves_no_file(objects: LocalObjects) -> None:
    with pytest.raises(DigestMismatch):
        objects.put("a", b"x", size=2)
    writer = objects.start("b")
    writer.write(b"x")
    writer.abort()
    assert _files(objects.root) == []


def test_folders_that_others_delete_meanwhile_are_skipped(objects: LocalObjects) -> None:
    for key in ("a/1", "a-b", "b/1", "b/c/2", "d"):
        objects.put(key, b"x")
    listed = objects.list()
    assert next(listed).key == "a-b"
    assert next(listed).key == "a/1"
    objects.delete("b/1")
    objects.delete("b/c/2")
    assert [found.key for found in listed] == ["d"]


def test_writers_and_deleters_of_one_folder_do_not_meet(objects: LocalObjects) -> None:
    def churn(worker: int) -> None:
        for number in range(100):
            objects.put(f"same/{worker}-{number}", b"x")
            list(objects.list())
            objects.delete(f"same/{worker}-{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(churn, range(4)))
    assert _files(objects.root) == []


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]
