"""Images of one size that are read by index, wherever they are stored."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Images(Protocol):
    """Images of one size, read by index: packed photographs, or samples of a generator."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty without classes."""
        ...

    @property
    def class_index(self) -> Tensor | None:
        """int64 [N], or None without classes."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def read(self, indices: Sequence[int]) -> Tensor:
        """Return uint8 [n, C, H, W] in the order of ``indices``."""
        ...
