"""The index of a shard: each sample's range of bytes and its SHA-256, so that a sample is one read of one range.

A JSON file beside the shard: ``{"version": 1, "shard": "shards/shard-000000.tar", "samples": [[place, offset, length,
sha256], …]}``. A range begins with the header of the sample's first file and ends with the padding of its last one.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from core.errors import Problem, ShardChangedError, ShardError
from core.label_sets.reading.tar_reader import END_MARK

VERSION = 1
INDEX = "index/"
"""Folder of the indices in a dataset."""


class SampleRange(NamedTuple):
    """Where a sample stands in its shard. ``place``: its index in the stream. ``offset`` and ``length`` in bytes.
    ``sha256``: of the range, in hex.
    """

    place: int
    offset: int
    length: int
    sha256: str


def index_path(shard: str) -> str:
    """Return the path of the index of the shard at the path ``shard``."""
    return f"{INDEX}{PurePosixPath(shard).stem}.json"


def index_bytes(shard: str, samples: Iterable[SampleRange]) -> bytes:
    """Return the index of a shard as a file: one line a sample; equal shards give equal bytes."""
    rows = ",\n".join(json.dumps(list(sample), separators=(",", ":")) for sample in samples)
    return f'{{"version":{VERSION},"shard":{json.dumps(shard)},"samples":[\n{rows}\n]}}\n'.encode()


def read_index(content: bytes, path: str = "") -> list[SampleRange]:
    """Read what :func:`index_bytes` wrote. Raises ShardError that names ``path`` for anything else."""
    try:
        document: Any = json.loads(content)
        if document["version"] != VERSION:
            raise ValueError(f"expected version {VERSION}, found {document['version']!r}")
        rows = document["samples"]
        return [SampleRange(int(i), int(offset), int(length), str(sha)) for i, offset, length, sha in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError("the index of a shard cannot be read", [Problem(str(error), path)]) from error


def as_shard(content: bytes, sample: SampleRange, path: str = "") -> io.BytesIO:
    """Return the bytes of a range as a shard of one sample. Raises ShardChangedError where they are not those of the
    index.
    """
    if hashlib.sha256(content).hexdigest() != sample.sha256:
        detail = f"the range of sample {sample.place} differs from its SHA-256 in the index"
        raise ShardChangedError("a sample is not what was stored", [Problem(detail, path)])
    return io.BytesIO(content + END_MARK)
