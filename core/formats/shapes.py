"""Polygons, boxes, ellipses and run lengths of untrusted files, as masks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from core.label_sets.reading.json_files import whole_number

#: Length of all outlines of one region, in pixels: more than any region has, and bounded memory to fill it.
MAX_OUTLINE = 4_000_000
#: Polygons are cut so far outside of the image, in pixels: the numbers of pycocotools' filling end at 2^31.
_MARGIN = 20_000
_ELLIPSE_CORNERS = 360
#: What a pixel of an outline, and a run length, cost to draw, in pixels of an area.
_OUTLINE_WORK, _RUN_WORK = 30, 50


class ShapeError(ValueError):
    """The shape cannot be filled; the message says why."""


@dataclass(frozen=True)
class Patch:
    """The part of an image that a shape reaches.

    ``size``: (height, width) of the image. ``top, left``: where the part begins. ``area``: bool [rows, columns], what
    the shape covers there; it covers nothing elsewhere. ``work``: what drawing it costs, in pixels.
    """

    size: tuple[int, int]
    top: int
    left: int
    area: NDArray[np.bool_]
    work: int

    def whole(self) -> NDArray[np.bool_]:
        """Return the covered pixels of the image, bool [height, width]."""
        where = np.zeros(self.size, bool)
        rows, columns = self.area.shape
        where[self.top : self.top + rows, self.left : self.left + columns] = self.area
        return where


def filled(polygons: Sequence[object], height: int, width: int) -> Patch:
    """Return what any of the polygons (each [x1, y1, x2, y2, …]) covers, as COCO fills them.

    What lies outside of the image is cut off; corners are not moved. Raises :class:`ShapeError`.
    """
    rings: list[list[float]] = []
    outline = 0.0
    for polygon in polygons:
        corners = _corners(polygon)
        near = np.clip(corners, -_MARGIN, (width + _MARGIN, height + _MARGIN))
        outline += float(np.abs(near - np.roll(near, 1, 0)).max(1).sum())
        if outline > MAX_OUTLINE:
            raise ShapeError(f"its outline is longer than {MAX_OUTLINE:,} pixels")
        if (near != corners).any():
            corners = _cut(corners, width, height)
        if len(corners) > 2:
            rings.append(corners.ravel().tolist())
    work = round(outline) * _OUTLINE_WORK
    if not rings:
        return _drawn(np.array([height * width]), height, width, work)
    merged = pycocotools.mask.merge(pycocotools.mask.frPyObjects(rings, height, width))
    return _drawn(_uncompressed(merged["counts"], height * width), height, width, work)


def _corners(polygon: object) -> NDArray[np.float64]:
    """float64 [N, 2] with N of at least 3."""
    try:
        points = np.asarray(polygon, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise ShapeError("a polygon holds a value that is not a number") from error
    if points.size < 6 or points.size % 2:
        raise ShapeError(f"a polygon of {points.size} numbers: at least three points x, y are needed")
    if not np.isfinite(points).all():
        raise ShapeError("a polygon holds NaN or infinity")
    return points.reshape(-1, 2)


def _cut(corners: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """The polygon within the image and the margin around it (Sutherland and Hodgman), float64 [M, 2]."""
    corners = np.clip(corners, -1e15, 1e15)
    for axis, side, most in ((0, 1, width + _MARGIN), (1, 1, height + _MARGIN), (0, -1, _MARGIN), (1, -1, _MARGIN)):
        following = np.roll(corners, -1, 0)
        over, over_next = side * corners[:, axis] - most, side * following[:, axis] - most
        crossing = (over > 0) != (over_next > 0)
        share = np.divide(over, over - over_next, out=np.zeros_like(over), where=crossing)
        between = corners + share[:, None] * (following - corners)
        between[:, axis] = side * most
        both = np.stack([corners, between], 1).reshape(-1, 2)
        corners = both[np.stack([over <= 0, crossing], 1).ravel()]
    return corners


def box(left: float, top: float, width: float, height: float, degrees: float = 0.0) -> list[float]:
    """[x1, y1, …] of a rectangle, turned clockwise about its centre; drawn from any of its corners."""
    corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    return flat(turned(corners, degrees, (left + width / 2, top + height / 2)))


def around(left: float, top: float, right: float, bottom: float) -> list[float]:
    """[x1, y1, …] of the whole pixels around an extent that may have no area."""
    x, y = math.floor(left), math.floor(top)
    return box(x, y, math.floor(right) + 1 - x, math.floor(bottom) + 1 - y)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> list[float]:
    """[x1, y1, …] of an ellipse by its centre and radii, turned clockwise about the centre."""
    angles = [2 * math.pi * step / _ELLIPSE_CORNERS for step in range(_ELLIPSE_CORNERS)]
    corners = [(x + radius_x * math.cos(one), y + radius_y * math.sin(one)) for one in angles]
    return flat(turned(corners, degrees, (x, y)))


def turned(
    points: Sequence[tuple[float, float]], degrees: float, about: tuple[float, float]
) -> list[tuple[float, float]]:
    """Points turned clockwise, as an image with y downwards shows it."""
    if not degrees:
        return list(points)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (
            about[0] + cosine * (x - about[0]) - sine * (y - about[1]),
            about[1] + sine * (x - about[0]) + cosine * (y - about[1]),
        )
        for x, y in points
    ]


def from_runs(counts: object, height: int, width: int) -> Patch:
    """Return what COCO run lengths cover: a list, or the compressed text. Columns first, beginning with what is
    outside. Decoded here and not by pycocotools, which trusts the numbers. Raises :class:`ShapeError`.
    """
    if isinstance(counts, str):
        counts = _uncompressed(counts.encode("ascii", "replace"), height * width).tolist()
    return _drawn(_run_lengths(counts, height * width), height, width)


def row_runs(counts: object, left: int, top: int, size: tuple[int, int], image: tuple[int, int]) -> Patch:
    """Return what alternating run lengths cover of a box of ``size`` (height, width), row by row, the first one
    outside. ``image``: the image's size. Raises :class:`ShapeError`.
    """
    lengths = _run_lengths(counts, size[0] * size[1])
    area = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(size)
    return Patch(image, top, left, area, area.size + len(lengths) * _RUN_WORK)


def _drawn(lengths: NDArray[np.int64], height: int, width: int, work: int = 0) -> Patch:
    """Return what run lengths over the whole image cover, columns first; only the columns that they reach are drawn."""
    work += len(lengths) * _RUN_WORK
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    begins, ends = bounds[1:-1:2], bounds[2::2]  # of the odd runs
    inside = np.flatnonzero(ends > begins)
    if not inside.size:
        return Patch((height, width), 0, 0, np.zeros((0, 0), bool), work)
    left, right = int(begins[inside[0]]) // height, (int(ends[inside[-1]]) - 1) // height + 1
    within = np.diff(np.clip(bounds, left * height, right * height))
    area = np.repeat(np.arange(len(lengths)) % 2 == 1, within).reshape(right - left, height).T
    return Patch((height, width), 0, left, area, work + area.size)


def _run_lengths(counts: object, size: int) -> NDArray[np.int64]:
    """Return run lengths that cover ``size`` pixels, int64 [N]. Raises :class:`ShapeError`."""
    lengths = [whole_number(one) for one in counts] if isinstance(counts, list) else [None]
    if not all(one is not None and 0 <= one <= size for one in lengths):
        raise ShapeError("its run lengths are not a list of whole numbers")
    covered = np.array(lengths, np.int64)
    if covered.sum() != size:
        raise ShapeError(f"its run lengths cover {covered.sum():,} pixels where there are {size:,}")
    return covered


def _uncompressed(text: bytes, most: int) -> NDArray[np.int64]:
    """Return COCO's compressed run lengths, int64 [N]: five bits a character, the lowest first, a sixth where more
    follow; from the fourth number on as difference to the one before last. Raises :class:`ShapeError`.
    """
    bits = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if bits.size and (bits.min() < 0 or bits.max() >= 64):
        raise ShapeError("its compressed run lengths are damaged")
    last = np.flatnonzero(bits & 32 == 0)
    if bits.size and (not last.size or last[-1] != bits.size - 1):
        raise ShapeError("its compressed run lengths break off")
    if len(last) > most + 1:
        raise ShapeError("it has more run lengths than there are pixels")
    first = np.concatenate([[0], last[:-1] + 1])[: len(last)]
    digits = last - first + 1
    if digits.size and digits.max() > 7:  # 35 bits, more than any image needs
        raise ShapeError("its compressed run lengths are damaged")
    places = np.arange(bits.size) - np.repeat(first, digits)
    counts = np.add.reduceat((bits & 31) << (5 * places), first) if last.size else np.zeros(0, np.int64)
    counts -= np.where(bits[last] & 16, np.int64(1) << (5 * digits), 0)
    for start in (1, 2):
        counts[start::2] = np.cumsum(counts[start::2])
    return counts


def brush(rle: object, height: int, width: int) -> Patch:
    """Return what a brush stroke of Label Studio covers: RGBA bytes as packed runs, the alpha decides.

    32 bits: how many values; 5: bits of a value; 4 × 4: lengths of run lengths; then runs: one bit (repeated or not),
    two that choose the length, the length, the values. Raises :class:`ShapeError`.
    """
    if not isinstance(rle, list) or not all(isinstance(one, int) and 0 <= one < 256 for one in rle):
        raise ShapeError("its run lengths are not a list of bytes")
    stream = _Bits(bytes(rle))
    size = stream.take(32)
    if size != 4 * height * width:
        raise ShapeError(f"its strokes cover {size // 4:,} pixels where there are {height * width:,}")
    bits = stream.take(5) + 1
    lengths = [stream.take(4) + 1 for _ in range(4)]
    parts: list[bytes] = []
    done = 0
    while done < size:
        repeated = stream.take(1)
        count = 1 + stream.take(lengths[stream.take(2)])
        if done + count > size:
            raise ShapeError("its strokes are longer than the image")
        parts.append(
            bytes([stream.take(bits) & 255]) * count
            if repeated
            else bytes(stream.take(bits) & 255 for _ in range(count))
        )
        done += count
    values = np.frombuffer(b"".join(parts), np.uint8)
    area = values[3::4].reshape(height, width) > 0
    return Patch((height, width), 0, 0, area, 4 * area.size + len(rle) * _RUN_WORK)


class _Bits:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, count: int) -> int:
        """The next ``count`` bits as a number, the highest first."""
        first, last = self._at // 8, (self._at + count + 7) // 8
        if last > len(self._content):
            raise ShapeError("its strokes break off")
        self._at += count
        return (int.from_bytes(self._content[first:last], "big") >> (8 * last - self._at)) & ((1 << count) - 1)


def flat(points: Sequence[Sequence[float]]) -> list[float]:
    """[[x, y], …] → [x, y, …]."""
    return list(chain.from_iterable(points))
