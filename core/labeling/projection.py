"""The first linear layer over hypercolumns, without hypercolumns.

A linear layer commutes with bilinear interpolation: W · concat(up(f_l)) = Σ_l up(W_l · f_l). So each layer is projected
at its native resolution, layers of one resolution are summed, and only hidden maps are interpolated: along each axis a
small dense matrix product. Tiles of pixels keep the memory flat, whatever the resolution.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from core.labeling.bilinear import interpolation

WHOLE_MAP_PIXELS = 4096
"""Maps of at most so many positions are projected once an image; larger ones window by window with the tiles."""


class Tile(NamedTuple):
    """A rectangle of label pixels."""

    top: int
    bottom: int
    left: int
    right: int


def tiles(size: tuple[int, int], tile_pixels: int) -> list[Tile]:
    """``size`` cut into near-square tiles of at most about ``tile_pixels`` pixels, row by row."""
    side = max(1, round(tile_pixels**0.5))
    height = min(size[0], max(side, tile_pixels // size[1]))
    width = min(size[1], max(1, tile_pixels // height))
    return [
        Tile(top, min(top + height, size[0]), left, min(left + width, size[1]))
        for top in range(0, size[0], height)
        for left in range(0, size[1], width)
    ]


def hidden_tiles(
    features: Sequence[Tensor], weight: Tensor, bias: Tensor, size: tuple[int, int], tile_pixels: int
) -> Iterator[tuple[Tile, Tensor]]:
    """First-layer pre-activations of one image, tile by tile.

    features: float [C_l, h_l, w_l] in hypercolumn order. weight: float [ΣC, Q]. bias: float [Q]. size: label
    (height, width). Yields (tile, float [pixels of the tile in row order, Q]), each a tensor of its own.
    """
    direct, levels = _levels(features, weight, size)
    for tile in tiles(size, tile_pixels):
        rows, cols = tile.bottom - tile.top, tile.right - tile.left
        if direct is None:
            hidden = bias.repeat(rows * cols, 1)
        else:
            hidden = torch.addmm(bias, _window(direct.layers, tile), direct.weight)
        if levels:
            # All levels meet in one product, so that the hidden values are touched once more and not once each.
            down, across = zip(*(level.on_the_way(tile) for level in levels), strict=True)
            hidden.view(rows, -1).addmm_(torch.cat(down, dim=1), torch.cat(across).flatten(1))
        yield tile, hidden


class _Layers(NamedTuple):
    """Layers of one resolution side by side, [h, w, C], and the rows of the weight that read them, [C, Q]."""

    layers: Tensor
    weight: Tensor


def _levels(features: Sequence[Tensor], weight: Tensor, size: tuple[int, int]) -> tuple[_Layers | None, list["_Level"]]:
    """What is read directly at the label resolution, and what has to be brought up to it."""
    grouped: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
    row = 0
    for layer in features:
        channels, height, width = layer.shape
        if height * width > size[0] * size[1]:
            # Going down, interpolation comes first: there are fewer channels than hidden units.
            layer = F.interpolate(layer[None], size, mode="bilinear", align_corners=False)[0]
            height, width = size
        grouped.setdefault((height, width), []).append((layer.permute(1, 2, 0), weight[row : row + channels]))
        row += channels
    assert row == len(weight), "weight and features do not belong together"
    joined = {
        at: _Layers(torch.cat([layer for layer, _ in pairs], dim=2), torch.cat([rows for _, rows in pairs]))
        for at, pairs in grouped.items()
    }
    direct = joined.pop(size, None)
    return direct, [_Level(layers, size) for layers in joined.values()]


class _Level:
    """Layers of one resolution on their way up to the labels."""

    def __init__(self, layers: _Layers, target: tuple[int, int]) -> None:
        self.layers = layers
        height, width, _ = layers.layers.shape
        device = layers.weight.device
        self.down = interpolation(height, target[0], device)
        self.across = interpolation(width, target[1], device)
        dtype = layers.weight.dtype
        self.down_matrix, self.across_matrix = self.down.matrix.to(dtype), self.across.matrix.to(dtype)
        whole = Tile(0, height, 0, width)
        self.whole = self._project(whole) if height * width <= WHOLE_MAP_PIXELS else None  # [h, w, Q]

    def on_the_way(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """The tile's part of the map down the rows, [tile rows, r], and what it reads: [r, tile columns, Q]."""
        top, bottom = self.down.support(tile.top, tile.bottom)
        left, right = self.across.support(tile.left, tile.right)
        down = self.down_matrix[tile.top : tile.bottom, top:bottom]
        across = self.across_matrix[tile.left : tile.right, left:right]
        if self.whole is None:
            native = self._project(Tile(top, bottom, left, right))
        else:
            native = self.whole[top:bottom, left:right]
        return down, across @ native

    def _project(self, window: Tile) -> Tensor:
        hidden = _window(self.layers.layers, window) @ self.layers.weight
        return hidden.view(window.bottom - window.top, window.right - window.left, -1)


def _window(layers: Tensor, window: Tile) -> Tensor:
    return layers[window.top : window.bottom, window.left : window.right].reshape(-1, layers.shape[2])
