"""Where training images come from: arrays in memory, or shards read sample by sample.

Targets are labels as they stand in shards (masks uint8 [N, H, W], points float32 [N, K, 3], depths float32 [N, H, W])
or what nets learn of them (maps float32 [N, K, H, W], NaN where nothing is known).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples import IMAGE, MASK, StoredSample
from core.datasets.tar import TarError, TarReader
from core.errors import Problem, ShardError
from core.tasks.task import Task

Targets = NDArray[Any]


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
        return self.images[indices], self.targets[indices]


@dataclass(frozen=True)
class Shard:
    """``name``: for error messages. ``open``: the shard as a seekable file, local or streamed from elsewhere."""

    name: str
    open: Callable[[], BinaryIO]

    @classmethod
    def local(cls, path: Path) -> "Shard":
        """A file."""
        return cls(str(path), lambda: path.open("rb"))


class ShardImages:
    """Samples of shards, read when they are asked for; memory holds their places alone. ``task``: which of the labels.

    Each sample is one range of bytes, so shards need not be on this machine. Raises :class:`core.errors.ShardError` for
    shards that are damaged or hold no samples, or samples without this task's label.
    """

    def __init__(self, shards: Sequence[Shard], task: Task = "segmentation") -> None:
        self._task = task
        self._places: list[tuple[Shard, int, dict[str, tuple[int, int]]]] = []
        for shard in shards:
            self._index(shard)
        if not self._places:
            raise ShardError("these shards hold no samples", [Problem("is empty", shard.name) for shard in shards])
        for _, index, members in self._places:
            if not {IMAGE, MASK} <= members.keys():
                raise ShardError("a sample cannot be read", [Problem("has no image or no mask", f"{index:09d}")])

    def __len__(self) -> int:
        return len(self._places)

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        samples = [self.sample(int(one)) for one in indices]
        return np.stack([one.image() for one in samples]), np.stack([_label(one, self._task) for one in samples])

    def sample(self, number: int) -> StoredSample:
        """One sample by its place among all."""
        shard, index, members = self._places[number]
        first = min(offset for offset, _ in members.values())
        with shard.open() as source:
            source.seek(first)
            content = source.read(max(offset + size for offset, size in members.values()) - first)
        cut = {suffix: content[offset - first : offset - first + size] for suffix, (offset, size) in members.items()}
        return StoredSample(index, cut)

    def indices(self) -> list[int]:
        """Of every sample, its index in the stream it was drawn from."""
        return [index for _, index, _ in self._places]

    def _index(self, shard: Shard) -> None:
        try:
            with shard.open() as source:
                reader = TarReader(source)
                while header := reader.next():
                    number, _, suffix = header.name.partition(".")
                    if not number.isdigit():
                        raise TarError(f"holds {header.name!r}, which is no part of a sample")
                    if not self._places or self._places[-1][0] is not shard or self._places[-1][1] != int(number):
                        self._places.append((shard, int(number), {}))
                    # The reader stands at the member's first byte.
                    self._places[-1][2][suffix] = (source.tell(), header.size)
        except (OSError, TarError) as error:
            raise ShardError("a shard cannot be read", [Problem(str(error), shard.name)]) from error


class Relabelled:
    """The same images with other labels, one each."""

    def __init__(self, images: LabelledImages, targets: Targets) -> None:
        assert len(images) == len(targets)
        self._images, self._targets = images, targets

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        return self._images.take(indices)[0], np.asarray(self._targets[indices])


def _label(sample: StoredSample, task: Task) -> Targets:
    if task == "segmentation":
        return sample.mask()
    points = sample.keypoints()
    label = sample.depth() if task == "depth" else points if points is None else points[:, :3]
    if label is None:
        raise ShardError("a sample cannot be read", [Problem(f"has no {task}", f"{sample.index:09d}")])
    return label
