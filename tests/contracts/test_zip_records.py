"""Zips assembled from the records, read by the standard library."""

from __future__ import annotations

import io
import zipfile
import zlib

import pytest

from contracts import zip_records
from contracts.zip_records import descriptor, descriptor_size, directory_entry, end_record, local_header

FILES = {"a.txt": b"alpha", "folder/ä 漢.bin": bytes(range(256)) * 10, "empty": b"", "last": b"z"}


def assembled(files: dict[str, bytes], *, with_descriptor: bool) -> bytes:
    whole, entries = b"", []
    for name, content in files.items():
        crc = zlib.crc32(content)
        entries.append(directory_entry(name, len(content), crc, len(whole), with_descriptor=with_descriptor))
        whole += local_header(name, len(content), None if with_descriptor else crc) + content
        if with_descriptor:
            whole += descriptor(len(content), crc)
    directory = b"".join(entries)
    return whole + directory + end_record(len(entries), len(directory), len(whole))


def contents(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.mark.parametrize("with_descriptor", [False, True])
def test_zip_is_read_back_by_the_standard_library(with_descriptor: bool) -> None:
    assert contents(assembled(FILES, with_descriptor=with_descriptor)) == FILES


@pytest.mark.parametrize("with_descriptor", [False, True])
def test_sizes_and_offsets_beyond_32_bits_follow_in_64(with_descriptor: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit lowered; a reader recognises a 64-bit field by all bits of the 32-bit one being set."""
    monkeypatch.setattr(zip_records, "LARGEST_32", 1000)
    archive = assembled(FILES, with_descriptor=with_descriptor)
    assert b"PK\6\6" in archive
    assert contents(archive.replace((1000).to_bytes(4, "little"), b"\xff\xff\xff\xff")) == FILES


def test_descriptor_is_longer_for_a_large_member() -> None:
    for size, length in ((zip_records.LARGEST_32 - 1, 16), (zip_records.LARGEST_32, 24)):
        assert descriptor_size(size) == len(descriptor(size, 0)) == length
