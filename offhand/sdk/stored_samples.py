"""Samples of a finished dataset, read from its shards by ranges of bytes: no file is downloaded as a whole."""

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from offhand.documents import Document
from offhand.errors import ClientError, DownloadFailed
from offhand.sdk.connection import Connection

ATTEMPTS = 5
#: Characters of a sample's name: its index in the stream.
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class SampleRange:
    """Place of a sample: its index in the stream, its shard's path, offset and length in bytes, SHA-256 (hex)."""

    index: int
    shard: str
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample: its index in the stream, and its files by suffix, such as ``image.png``."""

    index: int
    files: dict[str, bytes]


class StoredSamples:
    """The samples of one dataset in their order. Raises :class:`ClientError` for a dataset without indices of its
    shards: it was made by version 0.1.0.
    """

    def __init__(self, connection: Connection, dataset_id: str) -> None:
        self._connection, self._path = connection, f"/v1/datasets/{quote(dataset_id, safe='')}"
        manifest = connection.get(Document, f"{self._path}/manifest")
        listed = {file["path"] for file in manifest.get("files", [])}
        self.ranges: list[SampleRange] = []
        for shard in manifest["shards"]:
            index = f"index/{PurePosixPath(shard['path']).stem}.json"
            if index not in listed:
                raise ClientError(
                    f"{dataset_id} has no index of {shard['path']}: it was made by version 0.1.0; download it instead"
                )
            document = json.loads(connection.content(f"{self._path}/files/{quote(index)}"))
            self.ranges += [SampleRange(row[0], shard["path"], *row[1:]) for row in document["samples"]]

    def __len__(self) -> int:
        return len(self.ranges)

    def read(self, positions: Sequence[int]) -> list[Sample]:
        """Return samples by position, in the order of ``positions``. Neighbours in a shard are one request.

        Raises :class:`~offhand.errors.DownloadFailed` where bytes differ from the index each time.
        """
        contents: dict[int, bytes] = {}
        for run in _runs(self.ranges, sorted(set(positions))):
            first, last = self.ranges[run[0]], self.ranges[run[-1]]
            content = self._fetched(first.shard, first.offset, last.offset + last.length, run)
            for position in run:
                begin = self.ranges[position].offset - first.offset
                contents[position] = content[begin : begin + self.ranges[position].length]
        return [Sample(self.ranges[position].index, _files(contents[position])) for position in positions]

    def _fetched(self, shard: str, begin: int, end: int, run: Sequence[int]) -> bytes:
        """Return bytes ``begin`` to ``end`` of a shard whose samples all have the digests of the index."""
        url = f"{self._path}/shards/{quote(PurePosixPath(shard).name)}"
        headers = {"Range": f"bytes={begin}-{end - 1}"}
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(0.25 * 2**attempt)
            response = self._connection.request("GET", url, headers=headers, follow_redirects=True)
            whole = response.status_code != httpx.codes.PARTIAL_CONTENT
            content = response.content[begin:end] if whole else response.content
            if all(_is_right(self.ranges[position], content, begin) for position in run):
                return content
        raise DownloadFailed(f"bytes {begin} to {end} of {shard} differ from its index, {ATTEMPTS} times in a row")


def _is_right(sample: SampleRange, content: bytes, begin: int) -> bool:
    part = content[sample.offset - begin : sample.offset - begin + sample.length]
    return hashlib.sha256(part).hexdigest() == sample.sha256


def _runs(ranges: Sequence[SampleRange], positions: Sequence[int]) -> list[list[int]]:
    """Return positions in groups that lie side by side in one shard."""
    runs: list[list[int]] = []
    for position in positions:
        before = ranges[runs[-1][-1]] if runs else None
        here = ranges[position]
        if before is not None and before.shard == here.shard and before.offset + before.length == here.offset:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs


def _files(content: bytes) -> dict[str, bytes]:
    """Return the files of a sample by suffix: those of a tar without its end."""
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content + bytes(1024)), mode="r:") as tar:
        for member in tar:
            file: Any = tar.extractfile(member)
            if file is not None:
                files[member.name[_DIGITS + 1 :]] = file.read()
    return files
