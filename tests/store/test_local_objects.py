"""What only a folder can do wrong: leave files behind, or be full."""

from __future__ import annotations

import errno
import os
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


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]
