"""Feature maps of labelled images, drawn one image at a time and kept in memory up to a bound."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from core.generators.interface import Codes, FeatureSource

MEMORY_BYTES = 2 << 30
"""Features up to this size stay in memory, unless the caller gives another bound."""


class FeatureMaps(NamedTuple):
    """Features of one or more images, as of :class:`core.generators.interface.Synthesis`."""

    features: tuple[Tensor, ...]
    condition: Tensor | None


class LabelledMaps:
    """Feature maps by the number of the image. Where all of them exceed ``memory_bytes``, the first ones are kept and
    the others drawn again each time; both give the same bits, since each image is drawn alone.
    """

    def __init__(self, source: FeatureSource, codes: Codes, memory_bytes: int | None) -> None:
        self._source, self._codes = source, codes
        image = 4 * sum(layer.channels * layer.height * layer.width for layer in source.layers)
        self._most = (MEMORY_BYTES if memory_bytes is None else memory_bytes) // image
        self._kept: dict[int, FeatureMaps] = {}

    def of(self, images: Sequence[int]) -> FeatureMaps:
        """Return the maps of these images, in their order."""
        parts = [self._one(image) for image in images]
        features = tuple(torch.cat(maps) for maps in zip(*(part.features for part in parts), strict=True))
        conditions = [part.condition for part in parts if part.condition is not None]
        return FeatureMaps(features, torch.cat(conditions) if conditions else None)

    @torch.no_grad()
    def _one(self, image: int) -> FeatureMaps:
        if image in self._kept:
            return self._kept[image]
        drawn = self._source.synthesize(self._codes[image : image + 1], with_features=True)
        found = FeatureMaps(drawn.features, drawn.condition)
        if len(self._kept) < self._most:
            self._kept[image] = found
        return found
