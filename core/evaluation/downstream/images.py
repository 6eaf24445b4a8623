"""Where training images come from: arrays in memory, or shards read sample by sample.

Targets are labels as they stand in shards (masks uint8 [N, H, W], points float32 [N, K, 3], depths float32 [N, H, W])
or what nets learn of them (maps float32 [N, K, H, W], NaN where nothing is known).
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples import IMAGE, MASK, StoredSample
from core.datasets.shard_index import SampleRange, as_shard, read_index
from core.datasets.shards import read_shard
from core.errors import Problem, ShardChangedError, ShardError
from core.label_sets.reading.tar_reader import TarError, TarReader
from core.tasks.task import Task

Targets = NDArray[Any]
Found = TypeVar("Found")

#: Reads of bytes that differ from what was stored before that is an error, and seconds between them.
_READS, _PAUSE = 3, 0.1


class LabelledImages(Protocol):
    """Images with targets, by index."""

    def __len__(self) -> int: ...

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        """uint8 [B, H, W, 3] and their targets."""
        ...


class ArrayImages:
    """Everything in memory."""

    def __init__(self, images: NDArray[np.uint8], targets: Targets) -> None:
        if len(images) != len(targets):
            raise ValueError(f"{len(images)} images and {len(targets)} targets")
        self.images, self.targets = images, targets

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        """Return the images and labels at ``indices``, as :meth:`LabelledImages.take` describes them."""
        return self.images[indices], self.targets[indices]


@dataclass(frozen=True)
class Shard:
    """``name``: for error messages. ``open``: the shard as a seekable file, local or streamed from elsewhere.

    ``sha256``: hex digest of the whole shard, for one whose bytes may change on their way here; they are then verified
    each time they are read. Empty: the bytes are verified already. ``index``: its index (see
    :mod:`core.datasets.shard_index`), where it has one; the shard is then not read as a whole.
    """

    name: str
    open: Callable[[], BinaryIO]
    sha256: str = ""
    index: bytes | None = None

    @classmethod
    def local(cls, path: Path) -> "Shard":
        """A file."""
        return cls(str(path), lambda: path.open("rb"))


class ShardImages:
    """Samples of shards, read when they are asked for; memory holds their places alone. ``task``: which of the labels.

    Each sample is one range of bytes, so shards need not be on this machine. A shard with an index is not read until a
    sample is asked for, whose range is compared with the index. Of another one, the SHA-256 of each file is taken while
    the whole shard is compared with its own. A range that differs is read again. Raises
    :class:`core.errors.ShardChangedError` where it stays different, :class:`core.errors.ShardError` for shards that are
    damaged or hold no samples, or samples without this task's label.
    """

    def __init__(self, shards: Sequence[Shard], task: Task = "segmentation") -> None:
        self._task = task
        self._places: list[tuple[int, Callable[[], dict[str, bytes]]]] = []
        for shard in shards:
            self._places += _ranges(shard) if shard.index is not None else _members(shard)
        if not self._places:
            raise ShardError("these shards hold no samples", [Problem("is empty", shard.name) for shard in shards])

    def __len__(self) -> int:
        return len(self._places)

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        """Return the images and labels at ``indices``, as :meth:`LabelledImages.take` describes them."""
        samples = [self.sample(int(one)) for one in indices]
        return np.stack([one.image() for one in samples]), np.stack([_label(one, self._task) for one in samples])

    def sample(self, number: int) -> StoredSample:
        """One sample by its place among all."""
        index, read = self._places[number]
        return StoredSample(index, _again(read))

    def indices(self) -> list[int]:
        """Of every sample, its index in the stream it was drawn from."""
        return [index for index, _ in self._places]


@dataclass(frozen=True)
class _Member:
    """A file of a sample: where its bytes stand in the shard, and their SHA-256 (empty: not verified)."""

    offset: int
    size: int
    digest: bytes = b""


class _Hashed:
    """A stream that computes the SHA-256 of all that is read from it."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        content = self._source.read(size)
        self.digest.update(content)
        return content


def _ranges(shard: Shard) -> list[tuple[int, Callable[[], dict[str, bytes]]]]:
    """Samples of a shard with an index: the index of each and how its files are read. Raises ShardError."""
    assert shard.index is not None
    found = read_index(shard.index, shard.name)
    return [(sample.place, partial(_read_range, shard, sample)) for sample in found]


def _read_range(shard: Shard, sample: SampleRange) -> dict[str, bytes]:
    """The files of one sample, from its range. Raises ShardError, ShardChangedError."""
    with shard.open() as source:
        source.seek(sample.offset)
        content = source.read(sample.length)
    (found,) = read_shard(as_shard(content, sample, shard.name), shard.name)
    return dict(found.files)


def _members(shard: Shard) -> list[tuple[int, Callable[[], dict[str, bytes]]]]:
    """Samples of a shard without an index: the index of each and how its files are read. Raises ShardError."""
    found = _again(partial(_indexed, shard))
    for index, members in found:
        if not {IMAGE, MASK} <= members.keys():
            raise ShardError("a sample cannot be read", [Problem("has no image or no mask", f"{index:09d}")])
    return [(index, partial(_read_members, shard, members)) for index, members in found]


def _indexed(shard: Shard) -> list[tuple[int, dict[str, _Member]]]:
    """Samples of a shard: the index of each and its members by suffix. Raises ShardError, ShardChangedError."""
    places: list[tuple[int, dict[str, _Member]]] = []
    fault: Exception | None = None
    with shard.open() as source:
        stream = _Hashed(source) if shard.sha256 else source
        reader = TarReader(stream)
        try:
            while header := reader.next():
                number, _, suffix = header.name.partition(".")
                if not number.isdigit():
                    raise TarError(f"holds {header.name!r}, which is not part of a sample")
                if not places or places[-1][0] != int(number):
                    places.append((int(number), {}))
                # The reader stands at the member's first byte.
                offset = source.tell()
                digest = hashlib.sha256(reader.read(header.size)).digest() if shard.sha256 else b""
                places[-1][1][suffix] = _Member(offset, header.size, digest)
        except (OSError, TarError) as error:
            fault = error
        if isinstance(stream, _Hashed):
            while stream.read(1 << 20):
                pass
            if stream.digest.hexdigest() != shard.sha256:
                raise ShardChangedError("a shard is not what was stored", [Problem("differs", shard.name)])
    if fault is not None:
        raise ShardError("a shard cannot be read", [Problem(str(fault), shard.name)]) from fault
    return places


def _read_members(shard: Shard, members: dict[str, _Member]) -> dict[str, bytes]:
    """The files of one sample, from one range. Raises ShardChangedError."""
    first = min(one.offset for one in members.values())
    with shard.open() as source:
        source.seek(first)
        content = source.read(max(one.offset + one.size for one in members.values()) - first)
    cut = {suffix: content[one.offset - first : one.offset - first + one.size] for suffix, one in members.items()}
    for suffix, one in members.items():
        if one.digest and hashlib.sha256(cut[suffix]).digest() != one.digest:
            raise ShardChangedError("a sample is not what was stored", [Problem(f"its {suffix} differs", shard.name)])
    return cut


def _again(read: Callable[[], Found]) -> Found:
    """What ``read`` returns, read again where bytes differ: the fault may lie on their way."""
    for _ in range(_READS - 1):
        try:
            return read()
        except ShardChangedError:
            time.sleep(_PAUSE)
    return read()


class Relabelled:
    """The same images with other labels, one each."""

    def __init__(self, images: LabelledImages, targets: Targets) -> None:
        assert len(images) == len(targets)
        self._images, self._targets = images, targets

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        """Return the images and labels at ``indices``, as :meth:`LabelledImages.take` describes them."""
        return self._images.take(indices)[0], np.asarray(self._targets[indices])


def _label(sample: StoredSample, task: Task) -> Targets:
    if task == "segmentation":
        return sample.mask()
    points = sample.keypoints()
    label = sample.depth() if task == "depth" else points if points is None else points[:, :3]
    if label is None:
        raise ShardError("a sample cannot be read", [Problem(f"has no {task}", f"{sample.index:09d}")])
    return label
