"""Images that a generator is trained on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from core import checkpoint_io
from core.errors import GeneratorError, Problem
from core.generators.training import TrainingImages


@dataclass(frozen=True, eq=False)
class TensorImages:
    """Images in memory."""

    images: Tensor
    """uint8 [N, C, H, W]."""
    class_index: Tensor | None = None
    classes: tuple[str, ...] = ()
    weights: Tensor | None = field(default=None)

    def __post_init__(self) -> None:
        problems = []
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            found = f"{self.images.dtype} {list(self.images.shape)}"
            problems.append(Problem(f"expected uint8 [N, C, H, W], found {found}", "images"))
        for name in ("class_index", "weights"):
            value = getattr(self, name)
            if value is not None and value.shape != (len(self.images),):
                problems.append(Problem(f"expected [{len(self.images)}], found {list(value.shape)}", name))
        if self.class_index is not None:
            low, high = int(self.class_index.min()), int(self.class_index.max())
            if low < 0 or high >= len(self.classes):
                detail = f"expected numbers from 0 to {len(self.classes) - 1}, found {low} to {high}"
                problems.append(Problem(detail, "class_index"))
        if problems:
            raise GeneratorError("these images cannot train a generator", problems)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of images, classes and weights."""
        tensors = [one for one in (self.images, self.class_index, self.weights) if one is not None]
        return checkpoint_io.fingerprint(list(self.classes), tensors)

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int]) -> Tensor:
        """Return uint8 [n, C, H, W]."""
        return self.images[torch.as_tensor(list(indices), dtype=torch.long)]


@dataclass(frozen=True, eq=False)
class _OtherPixels:
    """Images of a source with other pixels: classes and frequencies are the source's."""

    images: TrainingImages

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images.classes

    @property
    def class_index(self) -> Tensor | None:
        """int64 [N], or None without classes."""
        return self.images.class_index

    @property
    def weights(self) -> Tensor | None:
        """Relative frequency of each image; see :class:`TrainingImages`."""
        return self.images.weights

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class ShrunkImages(_OtherPixels):
    """Images at a size divided by a power of two, by averages of squares: to train small networks first, from which
    larger ones grow (Karras et al. 2018, section 2).
    """

    factor: int
    """Pixels along the side of a square: 2, 4, …"""

    def __post_init__(self) -> None:
        _, height, width = self.images.shape
        if self.factor < 1 or self.factor & (self.factor - 1) or height % self.factor or width % self.factor:
            detail = f"expected a power of two that divides {height} and {width}, found {self.factor}"
            raise GeneratorError("these images cannot be shrunk", [Problem(detail, "factor")])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape
        return channels, height // self.factor, width // self.factor

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the images and the factor."""
        return checkpoint_io.fingerprint([self.images.digest, self.factor], [])

    def read(self, indices: Sequence[int]) -> Tensor:
        """Return uint8 [n, C, H, W]."""
        means = F.avg_pool2d(self.images.read(indices).float(), self.factor)
        return means.round().byte()


@dataclass(frozen=True, eq=False)
class ColourImages(_OtherPixels):
    """Grey images with their channel repeated, for a generator of colour images to be trained on."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, height, width)."""
        _, height, width = self.images.shape
        return 3, height, width

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the images and of the repetition."""
        return checkpoint_io.fingerprint([self.images.digest, "colour"], [])

    def read(self, indices: Sequence[int]) -> Tensor:
        """Return uint8 [n, 3, H, W]."""
        return self.images.read(indices).expand(-1, 3, -1, -1)


def class_counts(images: TrainingImages) -> tuple[int, ...]:
    """Return the number of images of each class; empty without classes."""
    if images.class_index is None:
        return ()
    found = Counter(images.class_index.tolist())
    return tuple(found[index] for index in range(len(images.classes)))


class DrawOrder:
    """The indices of the real images of each step, from (seed, step) alone: one random order of all images after
    another, or draws in proportion to weights.
    """

    def __init__(self, count: int, batch: int, seed: int, stream: int, weights: Tensor | None = None) -> None:
        self.count, self.batch, self.key = count, batch, [seed, stream]
        self.shares = None if weights is None else (weights.double() / weights.double().sum()).numpy()
        self._order: tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = (-1, np.empty(0, np.int64))

    def of_step(self, step: int) -> list[int]:
        """Return the indices of the images of step ``step``."""
        if self.shares is not None:
            random = np.random.default_rng([*self.key, step])
            return [int(index) for index in random.choice(self.count, self.batch, p=self.shares)]
        first = step * self.batch
        return [self._at(position) for position in range(first, first + self.batch)]

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self.count)
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([*self.key, epoch]).permutation(self.count)
        return int(self._order[1][place])
