"""Where training images come from: arrays in memory, or shards on disk read sample by sample.

Targets are uint8 masks [N, H, W], or float32 maps [N, K, H, W] (heatmaps, depth), NaN where nothing is known.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples import IMAGE, MASK, StoredSample
from core.datasets.tar import TarError, TarReader
from core.errors import Problem, ShardError

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


class ShardImages:
    """Segmentation samples of local shards, read when they are asked for; memory holds their places alone.

    Raises :class:`core.errors.ShardError` for shards that are damaged or hold no samples.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._places: list[tuple[Path, int, dict[str, tuple[int, int]]]] = []
        for path in paths:
            self._index(path)
        if not self._places:
            raise ShardError("these shards hold no samples", [Problem("is empty", str(path)) for path in paths])

    def __len__(self) -> int:
        return len(self._places)

    def take(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Targets]:
        samples = [self.sample(int(one)) for one in indices]
        return np.stack([one.image() for one in samples]), np.stack([one.mask() for one in samples])

    def sample(self, number: int) -> StoredSample:
        """One sample by its place among all."""
        path, index, members = self._places[number]
        with path.open("rb") as source:
            files = {}
            for suffix, (offset, size) in members.items():
                source.seek(offset)
                files[suffix] = source.read(size)
        return StoredSample(index, files)

    def _index(self, path: Path) -> None:
        try:
            with path.open("rb") as source:
                reader = TarReader(source)
                while header := reader.next():
                    number, _, suffix = header.name.partition(".")
                    if not number.isdigit():
                        raise TarError(f"holds {header.name!r}, which is no part of a sample")
                    if not self._places or self._places[-1][:2] != (path, int(number)):
                        self._places.append((path, int(number), {}))
                    # The reader stands at the member's first byte.
                    self._places[-1][2][suffix] = (source.tell(), header.size)
        except (OSError, TarError) as error:
            raise ShardError("a shard cannot be read", [Problem(str(error), str(path))]) from error
        for _, index, members in self._places:
            if not {IMAGE, MASK} <= members.keys():
                raise ShardError("a sample cannot be read", [Problem("has no image or no mask", f"{index:09d}")])
