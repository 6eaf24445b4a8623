"""The zip writer, read by the standard library."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from contracts import zip_records
from core.formats import package as module
from core.formats.package import Package


def write(files: dict[str, bytes], scratch: Path) -> bytes:
    target = io.BytesIO()
    package = Package(target, scratch)
    for name, content in files.items():
        package.add(name, content)
    package.finish()
    return target.getvalue()


def read(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    files = {"a.txt": b"alpha", "ordner/ä 漢.bin": bytes(range(256)), "empty": b""}
    found = read(write(files, tmp_path))
    assert len(found.pop("SHA256SUMS").splitlines()) == 3
    assert found == files


def test_a_file_from_disk_is_streamed(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3 * module.CHUNK + 7))
    target = io.BytesIO()
    package = Package(target, tmp_path)
    package.add_file("large", tmp_path / "large")
    package.finish()
    assert read(target.getvalue())["large"] == bytes(3 * module.CHUNK + 7)


def test_more_entries_than_16_bits_count(tmp_path: Path) -> None:
    found = read(write({f"{number}": b"" for number in range(66_000)}, tmp_path))
    assert len(found) == 66_001


def test_places_and_sizes_beyond_32_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit lowered, the fields of 64 bits are used where the others would have done."""
    files = {"small": b"x", "large": bytes(2000), "behind": b"y" * 10}
    monkeypatch.setattr(zip_records, "LARGEST_32", 1000)
    content = write(files, tmp_path)
    assert b"PK\x06\x06" in content
    # The reader knows a 64-bit field by all its bits being set.
    patched = content.replace((1000).to_bytes(4, "little"), b"\xff\xff\xff\xff")
    assert {name: read(patched)[name] for name in files} == files


def test_memory_does_not_grow_with_the_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4096)

    def peak(count: int) -> int:
        with (tmp_path / "target").open("wb") as target:
            tracemalloc.start()
            package = Package(target, tmp_path)
            for number in range(count):
                package.add(f"{number:09d}", b"x")
            package.finish()
            top = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return top

    peak(10)  # what is loaded once
    assert peak(3000) - peak(300) < 20_000  # eight bytes an entry would be more


@pytest.mark.slow
def test_more_than_four_gigabytes(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate((4 << 30) + 5)
    with (tmp_path / "whole.zip").open("wb") as target:
        package = Package(target, tmp_path)
        package.add_file("sparse", sparse)
        package.add("behind", b"it")
        package.finish()
    with zipfile.ZipFile(tmp_path / "whole.zip") as archive:
        assert archive.testzip() is None
        assert archive.getinfo("sparse").file_size == (4 << 30) + 5
        assert archive.read("behind") == b"it"
