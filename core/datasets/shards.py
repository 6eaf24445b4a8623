"""WebDataset shards: tar files in which the files of one sample stand together and share a name.

Bytes depend on nothing but the samples: no times, no owners, a fixed order. Writing and reading are streams; memory
does not grow with the number of samples.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

from core.callbacks import ShouldStop, never_stop, stop_if_asked
from core.datasets.samples import IMAGE, MASK, RECORD, UNCERTAINTY, StoredSample
from core.datasets.shard_index import SampleRange
from core.errors import Problem, ShardError
from core.label_sets.reading.tar_reader import BLOCK, END_MARK, Readable, TarError, TarReader, file_header

FIRST = (IMAGE, MASK, RECORD)
"""Files of a sample that come first; the uncertainty map comes last, so that a copy without it is one range."""
MAX_FILE_BYTES = 256 << 20


@dataclass(frozen=True)
class ShardEntry:
    """A finished shard as the manifest names it. ``sha256`` in hex; ``items`` counts samples; ``samples``: the range of
    each, for the shard's index.
    """

    path: str
    bytes: int
    sha256: str
    items: int
    samples: tuple[SampleRange, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The manifest's row."""
        return {"path": self.path, "bytes": self.bytes, "sha256": self.sha256, "items": self.items}


class ShardWriter:
    """Writes samples to ``target`` as one tar (POSIX ustar), counting and hashing on the way.

    ``target`` needs ``write`` alone and stays open. The shard is whole only after :meth:`finish`.
    """

    def __init__(self, target: BinaryIO, path: str = "") -> None:
        self._target, self._path = target, path
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._samples: list[SampleRange] = []

    def write(self, index: int, files: Mapping[str, bytes]) -> None:
        """Append the sample ``index`` (its place in the stream) with its ``files`` by suffix."""
        pieces = []
        for suffix in sorted(files, key=_place):
            content = files[suffix]
            pieces += [file_header(f"{index:09d}.{suffix}", len(content)), content, bytes(-len(content) % BLOCK)]
        content = b"".join(pieces)
        self._samples.append(SampleRange(index, self._bytes, len(content), hashlib.sha256(content).hexdigest()))
        self._put(content)

    def finish(self) -> ShardEntry:
        """Write the end mark and return the entry of what was written."""
        self._put(END_MARK)
        return ShardEntry(self._path, self._bytes, self._digest.hexdigest(), len(self._samples), tuple(self._samples))

    def _put(self, content: bytes) -> None:
        self._target.write(content)
        self._digest.update(content)
        self._bytes += len(content)


def read_shard(source: Readable, path: str = "") -> Iterator[StoredSample]:
    """Samples of a shard in their order, one in memory at a time.

    Raises :class:`core.errors.ShardError` naming ``path`` when the shard is truncated, damaged or not ours.
    """
    reader = TarReader(source)
    index: int | None = None
    files: dict[str, bytes] = {}
    try:
        while header := reader.next():
            number, dot, suffix = header.name.partition(".")
            if header.kind != "file" or not dot or not number.isascii() or not number.isdigit():
                raise TarError(f"holds {header.name!r}, which is not part of a sample")
            if header.size > MAX_FILE_BYTES:
                raise TarError(f"{header.name!r} declares {header.size:,} bytes")
            if index is not None and int(number) != index:
                yield StoredSample(index, files)
                files = {}
            if suffix in files:
                raise TarError(f"holds {header.name!r} twice")
            index = int(number)
            files[suffix] = reader.read(header.size)
    except TarError as error:
        raise ShardError("a shard cannot be read", [Problem(str(error), path)]) from error
    if index is not None:
        yield StoredSample(index, files)


def shard_path(number: int) -> str:
    """Where the final shard ``number`` (from 0) stands in the dataset."""
    return f"shards/shard-{number:06d}.tar"


def pack(
    samples: Iterable[StoredSample],
    keep: Iterable[int],
    items_per_shard: int,
    open_shard: Callable[[str], AbstractContextManager[BinaryIO]],
    leave_out: frozenset[str] = frozenset({UNCERTAINTY}),
    on_sample: Callable[[StoredSample], None] | None = None,
    should_stop: ShouldStop = never_stop,
) -> Iterator[ShardEntry]:
    """Copy the samples whose index is in ``keep`` into final shards of ``items_per_shard`` each, the rest in the last.

    ``samples`` and ``keep`` ascend; ``keep`` may be any iterable, one index of it is held at a time. Files are copied
    byte for byte, those with a suffix in ``leave_out`` not at all. ``open_shard(path)`` gives a context manager around
    a binary file; it is left before the shard's entry is yielded. ``on_sample`` sees every kept sample whole.

    Raises :class:`core.errors.ShardError` when an index of ``keep`` is not among the samples.
    """
    assert items_per_shard > 0
    kept = _kept(samples, iter(keep), should_stop)
    number = 0
    sample = next(kept, None)
    while sample is not None:
        path = shard_path(number)
        with open_shard(path) as target:
            writer = ShardWriter(target, path)
            for _ in range(items_per_shard):
                if on_sample is not None:
                    on_sample(sample)
                writer.write(sample.index, {key: file for key, file in sample.files.items() if key not in leave_out})
                sample = next(kept, None)
                if sample is None:
                    break
            entry = writer.finish()
        yield entry
        number += 1


def _kept(samples: Iterable[StoredSample], keep: Iterator[int], should_stop: ShouldStop) -> Iterator[StoredSample]:
    wanted = next(keep, None)
    last = -1
    for sample in samples:
        stop_if_asked(should_stop)
        assert sample.index > last, "samples ascend"
        last = sample.index
        if wanted is None:
            return
        if sample.index == wanted:
            yield sample
            following = next(keep, None)
            assert following is None or following > wanted, "indices to keep ascend"
            wanted = following
        elif sample.index > wanted:
            break
    if wanted is not None:
        raise ShardError("the candidates lack a sample", [Problem("is missing", f"{wanted:09d}")])


def _place(suffix: str) -> tuple[int, str]:
    if suffix == UNCERTAINTY:
        return len(FIRST) + 1, suffix
    return (FIRST.index(suffix) if suffix in FIRST else len(FIRST), suffix)
