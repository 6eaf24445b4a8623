"""Hypercolumns: at each pixel, every layer's features interpolated to that pixel, one after the other.

Order and definition: the learned constant, then each convolution's output, each straight to the label resolution
(HandsOff section 3.2). :func:`hypercolumns` builds them plainly and is the reference; the library itself gathers them
for single pixels (:func:`gather`) or never builds them (:mod:`core.labeling.projection`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import LabelerError, Problem
from core.generators.interface import FeatureLayer
from core.labeling.bilinear import taps
from core.labeling.config import LabelerConfig


class SelectedLayers:
    """Which of a generator's feature layers, and how many channels of each, a labeler looks at."""

    def __init__(self, feature_layers: Sequence[FeatureLayer], config: LabelerConfig) -> None:
        """Raises :class:`LabelerError` naming every layer of ``config`` that the generator does not have."""
        names = [layer.name for layer in feature_layers]
        wanted = names if config.layers is None else config.layers
        unknown = [Problem("no such feature layer", name) for name in wanted if name not in names]
        if unknown:
            raise LabelerError(f"the generator's feature layers are {', '.join(names)}", unknown)
        limit = config.max_channels or max(layer.channels for layer in feature_layers)
        chosen = [(i, layer) for i, layer in enumerate(feature_layers) if layer.name in wanted]
        self.indices = tuple(i for i, _ in chosen)
        self.layers = tuple(layer._replace(channels=min(layer.channels, limit)) for _, layer in chosen)
        self.channels = sum(layer.channels for layer in self.layers)
        """Length of a hypercolumn."""

    def pick(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The chosen channels of the chosen layers, from all of a synthesis' features ([N, C, h, w] each)."""
        picked = [features[i][:, : layer.channels] for i, layer in zip(self.indices, self.layers, strict=True)]
        assert all(x.shape[1:] == layer[1:] for x, layer in zip(picked, self.layers, strict=True))
        return picked


def hypercolumns(features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """The plain way: features [N, C_l, h_l, w_l] → float [N, ΣC, H, W]. Large; for reference and tests."""
    maps = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in features]
    return torch.cat(maps, dim=1)


def gather(features: Sequence[Tensor], size: tuple[int, int], pixels: Tensor) -> Tensor:
    """Hypercolumns of single pixels, four neighbours a layer, without building the rest.

    features: [N, C_l, h_l, w_l], of any precision. size: label (height, width). pixels: int64 [P], positions in the
    flattened [N, H, W]. Returns float32 [P, ΣC].
    """
    image, rest = pixels // (size[0] * size[1]), pixels % (size[0] * size[1])
    y, x = rest // size[1], rest % size[1]
    columns = []
    for layer in features:
        height, width = layer.shape[2:]
        table = layer.permute(0, 2, 3, 1).reshape(-1, layer.shape[1])  # [N h w, C], a view of channels-last features
        if (height, width) == size:
            columns.append(table[pixels].float())
            continue
        rows, cols = taps(height, size[0], layer.device), taps(width, size[1], layer.device)
        wy, wx = rows.weight[y], cols.weight[x]
        top, bottom = (image * height + rows.low[y]) * width, (image * height + rows.high[y]) * width
        left, right = cols.low[x], cols.high[x]
        neighbours = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=1)  # [P, 4]
        weights = torch.stack([(1 - wy) * (1 - wx), (1 - wy) * wx, wy * (1 - wx), wy * wx], dim=1)
        # Neighbours are shared by many pixels: only those that are read are brought to full precision.
        used, places = torch.unique(neighbours, return_inverse=True)
        columns.append(F.embedding_bag(places, table[used].float(), per_sample_weights=weights, mode="sum"))
    return torch.cat(columns, dim=1)
