"""The first linear layer over hypercolumns, without hypercolumns.

A linear layer commutes with bilinear interpolation: W · concat(up(f_l)) = Σ_l up(W_l · f_l). So each layer is projected
at its native resolution, layers of one resolution are summed, and only hidden maps are interpolated: along each axis a
small dense matrix product. Tiles of pixels keep the memory flat, whatever the resolution.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from core.labeling.bilinear import interpolation_matrix

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
    levels = _levels(features, weight, size)
    for tile in tiles(size, tile_pixels):
        hidden = bias.repeat((tile.bottom - tile.top) * (tile.right - tile.left), 1)
        for level in levels:
            level.add_to(hidden, tile)
        yield tile, hidden


def _levels(features: Sequence[Tensor], weight: Tensor, size: tuple[int, int]) -> list["_Level"]:
    grouped: dict[tuple[int, int], tuple[list[Tensor], list[Tensor]]] = {}
    row = 0
    for layer in features:
        channels, height, width = layer.shape
        if height * width > size[0] * size[1]:
            # Going down, interpolation comes first: there are fewer channels than hidden units.
            layer = F.interpolate(layer[None], size, mode="bilinear", align_corners=False)[0]
            height, width = size
        maps, weights = grouped.setdefault((height, width), ([], []))
        maps.append(layer.permute(1, 2, 0))  # [h, w, C], contiguous for channels-last features
        weights.append(weight[row : row + channels])
        row += channels
    assert row == len(weight), "weight and features do not belong together"
    return [_Level(maps, weights, size) for maps, weights in grouped.values()]


class _Level:
    """All layers of one resolution, the rows of the weight that read them, and the way up to the labels."""

    def __init__(self, maps: list[Tensor], weights: list[Tensor], target: tuple[int, int]) -> None:
        self.maps, self.weights = maps, weights
        height, width, _ = maps[0].shape
        self.is_target = (height, width) == target
        if self.is_target:
            return
        device = weights[0].device
        self.down = interpolation_matrix(height, target[0], device)  # [H, h]
        self.across = interpolation_matrix(width, target[1], device)  # [W, w]
        whole = Tile(0, height, 0, width)
        self.whole = self._project(whole) if height * width <= WHOLE_MAP_PIXELS else None  # [h, w, Q]

    def add_to(self, hidden: Tensor, tile: Tile) -> None:
        """Add this level's part to ``hidden`` [pixels of the tile, Q]."""
        if self.is_target:
            for layer, weight in zip(self.maps, self.weights, strict=True):
                hidden.addmm_(_window(layer, tile), weight)
            return
        down, across = self.down[tile.top : tile.bottom], self.across[tile.left : tile.right]
        top, bottom = _support(down)
        left, right = _support(across)
        if self.whole is None:
            native = self._project(Tile(top, bottom, left, right))
        else:
            native = self.whole[top:bottom, left:right]
        rows = across[:, left:right] @ native  # [rows, tile columns, Q]
        hidden.view(len(down), -1).addmm_(down[:, top:bottom], rows.view(bottom - top, -1))

    def _project(self, window: Tile) -> Tensor:
        projected: Tensor | None = None
        for layer, weight in zip(self.maps, self.weights, strict=True):
            positions = _window(layer, window)
            projected = positions @ weight if projected is None else projected.addmm_(positions, weight)
        assert projected is not None
        return projected.view(window.bottom - window.top, window.right - window.left, -1)


def _window(layer: Tensor, window: Tile) -> Tensor:
    return layer[window.top : window.bottom, window.left : window.right].reshape(-1, layer.shape[2])


def _support(matrix: Tensor) -> tuple[int, int]:
    """First and last + 1 column that holds anything."""
    used = matrix.any(0).nonzero()
    return int(used[0]), int(used[-1]) + 1
