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
) -> Iterator[tuple[int, Tile, Tensor]]:
    """First-layer pre-activations, image by image and tile by tile.

    features: float [N, C_l, h_l, w_l] in hypercolumn order. weight: float [ΣC, Q]. bias: float [Q]. size: label
    (height, width). Yields (image, tile, float [pixels of the tile in row order, Q]); the values are overwritten when
    the next are asked for, since fresh memory would cost about as much time as filling it.
    """
    cut = tiles(size, tile_pixels)
    room = _Room(weight)
    for image in range(len(features[0])):
        direct, levels = _levels([layer[image].to(weight.dtype) for layer in features], weight, size)
        for tile in cut:
            rows, cols = tile.bottom - tile.top, tile.right - tile.left
            hidden = room.hidden(rows * cols)
            if direct is None:
                hidden.copy_(bias.expand_as(hidden))
            else:
                torch.addmm(bias, _window(direct.layers, tile), direct.weight, out=hidden)
            if levels:
                # All levels meet in one product, so that the hidden values are touched once more and not once each.
                across = room.across(sum(level.rows(tile) for level in levels), cols)
                down, first = [], 0
                for level in levels:
                    last = first + level.rows(tile)
                    down.append(level.on_the_way(tile, across[first:last]))
                    first = last
                hidden.view(rows, -1).addmm_(torch.cat(down, dim=1), across.flatten(1))
            yield image, tile, hidden


class _Room:
    """Memory that tile after tile is computed in; it grows to the largest."""

    def __init__(self, like: Tensor) -> None:
        self.units = like.shape[1]
        self._hidden, self._across = like.new_empty(0), like.new_empty(0)

    def hidden(self, pixels: int) -> Tensor:
        """[pixels, Q]."""
        if len(self._hidden) < pixels:
            self._hidden = self._hidden.new_empty(pixels, self.units)
        return self._hidden[:pixels]

    def across(self, rows: int, cols: int) -> Tensor:
        """[rows, cols, Q]."""
        if len(self._across) < rows * cols:
            self._across = self._across.new_empty(rows * cols, self.units)
        return self._across[: rows * cols].view(rows, cols, self.units)


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

    def rows(self, tile: Tile) -> int:
        """How many rows of the map the tile reads."""
        top, bottom = self.down.support(tile.top, tile.bottom)
        return bottom - top

    def on_the_way(self, tile: Tile, across: Tensor) -> Tensor:
        """Write what the tile reads of the map into ``across``, [r, tile columns, Q], and tell how it goes down the
        rows, [tile rows, r].
        """
        top, bottom = self.down.support(tile.top, tile.bottom)
        left, right = self.across.support(tile.left, tile.right)
        if self.whole is None:
            native = self._project(Tile(top, bottom, left, right))
        else:
            native = self.whole[top:bottom, left:right]
        torch.matmul(self.across_matrix[tile.left : tile.right, left:right], native, out=across)
        return self.down_matrix[tile.top : tile.bottom, top:bottom]

    def _project(self, window: Tile) -> Tensor:
        hidden = _window(self.layers.layers, window) @ self.layers.weight
        return hidden.view(window.bottom - window.top, window.right - window.left, -1)


def _window(layers: Tensor, window: Tile) -> Tensor:
    return layers[window.top : window.bottom, window.left : window.right].reshape(-1, layers.shape[2])
