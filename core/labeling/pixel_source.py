"""Hypercolumns of labelled pixels, gathered when they are asked for: all that training sees of the generator."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from core.callbacks import ShouldStop, stop_if_asked
from core.generators.interface import Codes, FeatureSource
from core.labeling.feature_cache import KeptFeatures
from core.labeling.hypercolumn import SelectedLayers, gather

SYNTHESIS_BYTES = 256 << 20
"""Features that are synthesised at once; one image at least."""
ROWS_AT_ONCE = 4096
MEMORY_BYTES = 2 << 30
"""Kept features up to this size stay in memory, unless the caller says otherwise."""


class PixelSource:
    """Images given by their codes, whose hypercolumns can be gathered pixel by pixel.

    Features are synthesised once, when they are first asked for, and kept in half precision.
    """

    def __init__(
        self,
        source: FeatureSource,
        codes: Codes,
        layers: SelectedLayers,
        size: tuple[int, int],
        memory_bytes: int = MEMORY_BYTES,
        folder: Path | None = None,
    ) -> None:
        """codes: N codes on the device of ``source``. size: (height, width) of the labels.
        memory_bytes, folder: see :class:`core.labeling.feature_cache.KeptFeatures`.
        """
        self.source, self.codes, self.layers, self.size = source, codes, layers, size
        self._kept = KeptFeatures(layers.layers, len(codes), memory_bytes, folder)

    def close(self) -> None:
        """Forget the features."""
        self._kept.close()

    @torch.no_grad()
    def gather(self, pixels: Tensor, transform: Callable[[Tensor], Tensor], should_stop: ShouldStop) -> Tensor:
        """Transformed hypercolumns of pixels.

        pixels: int64 [P], ascending positions in the flattened [N, H, W]. transform: float [p, C] → [p, K].
        Returns float [P, K] in the order of ``pixels``.
        """
        self._synthesize(should_stop)
        parts = []
        stride = self.size[0] * self.size[1]
        cuts = torch.searchsorted(pixels.cpu(), torch.arange(len(self.codes) + 1) * stride).tolist()
        for image in range(len(self.codes)):
            stop_if_asked(should_stop)
            mine = pixels[cuts[image] : cuts[image + 1]] - image * stride
            if not len(mine):
                continue
            features = self._kept.of(image)
            mine = mine.to(features[0].device)
            parts += [
                transform(gather(features, self.size, few).to(self.source.device))
                for few in torch.split(mine, ROWS_AT_ONCE)
            ]
        return torch.cat(parts)

    def _synthesize(self, should_stop: ShouldStop) -> None:
        """Keep the features of those images that are not kept yet."""
        floats = sum(layer.channels * layer.height * layer.width for layer in self.layers.layers)
        at_once = max(1, SYNTHESIS_BYTES // (4 * floats))
        for codes in self.codes[len(self._kept) :].split(at_once):
            stop_if_asked(should_stop)
            features = self.layers.pick(self.source.synthesize(codes, with_features=True).features)
            for row in range(len(codes)):
                self._kept.add([x[row] for x in features])
