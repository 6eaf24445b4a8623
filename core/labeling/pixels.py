"""Hypercolumns of labelled pixels, gathered when they are asked for: all that training sees of the generator."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from core.callbacks import ShouldStop, stop_if_asked
from core.generators.stylegan2 import Generator, Noise
from core.labeling.hypercolumn import SelectedLayers, gather

IMAGES_AT_ONCE = 8
ROWS_AT_ONCE = 4096
KEPT_BYTES = 512 << 20
"""Native features up to this size stay in memory; larger sets are synthesised again for each gathering."""


class PixelSource:
    """Images given by their w+ codes, whose hypercolumns can be gathered pixel by pixel."""

    def __init__(
        self, generator: Generator, w_plus: Tensor, layers: SelectedLayers, size: tuple[int, int], noise: Noise
    ) -> None:
        """w_plus: float [N, num_ws, w_dim] on the generator's device. size: (height, width) of the labels."""
        self.generator, self.w_plus, self.layers, self.size, self.noise = generator, w_plus, layers, size, noise
        floats = sum(layer.channels * layer.height * layer.width for layer in layers.layers)
        self._kept: list[list[Tensor]] | None = [] if 4 * floats * len(w_plus) <= KEPT_BYTES else None

    @torch.no_grad()
    def gather(self, pixels: Tensor, transform: Callable[[Tensor], Tensor], should_stop: ShouldStop) -> Tensor:
        """Transformed hypercolumns of pixels.

        pixels: int64 [P], ascending positions in the flattened [N, H, W]. transform: float [p, C] → [p, K].
        Returns float [P, K] in the order of ``pixels``.
        """
        parts = []
        stride = IMAGES_AT_ONCE * self.size[0] * self.size[1]
        bounds = torch.arange(0, len(self.w_plus) * self.size[0] * self.size[1] + stride, stride)
        cuts = torch.searchsorted(pixels.cpu(), bounds).tolist()
        for batch, features in self._batches():
            stop_if_asked(should_stop)
            mine = pixels[cuts[batch] : cuts[batch + 1]] - batch * stride
            some = torch.split(mine, ROWS_AT_ONCE) if len(mine) else ()
            parts += [transform(gather(features, self.size, few)) for few in some]
        return torch.cat(parts)

    def _batches(self) -> Iterator[tuple[int, list[Tensor]]]:
        if self._kept:
            yield from enumerate(self._kept)
            return
        kept: list[list[Tensor]] = []
        for batch, w_plus in enumerate(torch.split(self.w_plus, IMAGES_AT_ONCE)):
            features = self.generator.synthesize(w_plus, self.noise, with_features=True).features
            picked = self.layers.pick(features)
            kept.append(picked)
            if self._kept is None:
                kept.clear()
            yield batch, picked
        if self._kept is not None:
            self._kept = kept
