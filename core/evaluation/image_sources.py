"""Sources of images that evaluation reads by index: samples of a generator, a part of other images, stored images."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import GeneratorError, Problem
from core.evaluation.metrics.features import BATCH
from core.generators.interface import Sampler
from core.image_arrays import to_bytes
from core.indexed_images import Images
from core.run import Run


@dataclass(frozen=True, eq=False)
class SampledImages:
    """Samples 0 … ``count - 1`` of the stream ``seed``, drawn whenever they are read."""

    sampler: Sampler
    count: int
    seed: int
    class_index: Tensor | None = None
    """int64 [N], class of each sample; required for a conditional generator, None for others."""
    classes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.sampler.generator.channels, *self.sampler.resolution

    def __len__(self) -> int:
        return self.count

    @torch.no_grad()
    def read(self, indices: Sequence[int]) -> Tensor:
        """Return uint8 [n, C, H, W]. Raises :class:`GeneratorError` for images that are not finite."""
        classes = None if self.class_index is None else self.class_index[list(indices)].tolist()
        image = self.sampler.synthesize(self.sampler.draw(self.seed, list(indices), classes)).image
        if not image.isfinite().all():
            raise GeneratorError("this generator draws no finite image", [Problem("not finite", "image")])
        return to_bytes(image).cpu()


@dataclass(frozen=True, eq=False)
class PartOfImages:
    """Some images of a source, by index."""

    images: Images
    indices: Sequence[int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images.classes

    @cached_property
    def class_index(self) -> Tensor | None:
        """int64 [N], or None without classes."""
        whole = self.images.class_index
        return None if whole is None else whole[list(self.indices)]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Sequence[int]) -> Tensor:
        """Return uint8 [n, C, H, W]."""
        return self.images.read([self.indices[index] for index in indices])


class StoredImages:
    """Images of another source, read once and kept in a temporary file without a name, which goes with this object."""

    def __init__(self, images: Images, run: Run | None = None, batch: int = BATCH) -> None:
        """``run.progress`` counts images. Raises what reading raises, and :class:`core.errors.Stopped`."""
        run = run or Run()
        self.shape, self.classes, self.class_index = images.shape, images.classes, images.class_index
        with tempfile.TemporaryFile(dir=run.folder) as file:
            self._pixels: NDArray[np.uint8] = np.memmap(file, np.uint8, "w+", shape=(len(images), *images.shape))
        for start in range(0, len(images), batch):
            run.stop_if_asked()
            stop = min(start + batch, len(images))
            self._pixels[start:stop] = images.read(range(start, stop)).numpy()
            run.progress(stop, len(images))

    def __len__(self) -> int:
        return len(self._pixels)

    def read(self, indices: Sequence[int]) -> Tensor:
        """Return uint8 [n, C, H, W]."""
        return torch.from_numpy(np.array(self._pixels[list(indices)]))
