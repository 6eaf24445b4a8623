"""Hypercolumns of labelled pixels, gathered when they are asked for: all that training sees of the generator."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from core.callbacks import ShouldStop, stop_if_asked
from core.generators.stylegan2.network import Network, Noise
from core.labeling.feature_cache import KeptFeatures
from core.labeling.hypercolumn import SelectedLayers, gather

SYNTHESIS_BYTES = 256 << 20
"""Features that are synthesised at once; one image at least."""
ROWS_AT_ONCE = 4096
MEMORY_BYTES = 2 << 30
"""Kept features up to this size stay in memory, unless the caller says otherwise."""


class PixelSource:
    """Images given by their w+ codes, whose hypercolumns can be gathered pixel by pixel.

    Features are synthesised once, when they are first asked for, and kept in half precision.
    """

    def __init__(
        self,
        generator: Network,
        w_plus: Tensor,
        layers: SelectedLayers,
        size: tuple[int, int],
        noise: Noise,
        memory_bytes: int = MEMORY_BYTES,
        folder: Path | None = None,
    ) -> None:
        """w_plus: float [N, num_ws, w_dim] on the generator's device. size: (height, width) of the labels.
        memory_bytes, folder: see :class:`core.labeling.feature_cache.KeptFeatures`.
        """
        self.generator, self.w_plus, self.layers, self.size, self.noise = generator, w_plus, layers, size, noise
        self._kept = KeptFeatures(layers.layers, len(w_plus), memory_bytes, folder)

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
        cuts = torch.searchsorted(pixels.cpu(), torch.arange(len(self.w_plus) + 1) * stride).tolist()
        for image in range(len(self.w_plus)):
            stop_if_asked(should_stop)
            mine = pixels[cuts[image] : cuts[image + 1]] - image * stride
            if not len(mine):
                continue
            features = self._kept.of(image)
            mine = mine.to(features[0].device)
            parts += [
                transform(gather(features, self.size, few).to(self.w_plus.device))
                for few in torch.split(mine, ROWS_AT_ONCE)
            ]
        return torch.cat(parts)

    def _synthesize(self, should_stop: ShouldStop) -> None:
        """Keep the features of those images that are not kept yet."""
        floats = sum(layer.channels * layer.height * layer.width for layer in self.layers.layers)
        at_once = max(1, SYNTHESIS_BYTES // (4 * floats))
        for codes in torch.split(self.w_plus[len(self._kept) :], at_once):
            if not len(codes):
                return
            stop_if_asked(should_stop)
            features = self.layers.pick(self.generator.synthesize(codes, self.noise, with_features=True).features)
            for row in range(len(codes)):
                self._kept.add([x[row] for x in features])
