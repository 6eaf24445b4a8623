"""Geometry of masks as BigDatasetGAN compares real and generated labels (table 1): IN, MI, BI, MB, PL, SC, SD.

An instance is a connected region (four neighbours) of one class. Its outline is the border between its pixels and the
rest, traced along pixel edges and scaled to a box of width and height 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.01
"""Douglas–Peucker threshold on the unit outline (BigDatasetGAN)."""
_OUTLINE_POINTS = 64


@dataclass(frozen=True)
class MaskGeometry:
    """Means over instances (over images for IN); NaN where there are none.

    instances: IN, a class's instances an image that shows it. mask_image: MI, area over image. box_image: BI, tight box
    over image. mask_box: MB, area over box. length: PL, length of the outline in the unit box (4 for a square).
    complexity: SC, corners left by Douglas–Peucker. diversity: SD, mean Chamfer distance between two unit outlines.
    """

    instances: float
    mask_image: float
    box_image: float
    mask_box: float
    length: float
    complexity: float
    diversity: float

    def to_json(self) -> dict[str, Any]:
        """JSON values, null for NaN."""
        return {name: value if np.isfinite(value) else None for name, value in vars(self).items()}


def mask_geometry(
    masks: Iterable[NDArray[np.uint8]], class_id: int, least_pixels: int = 4, most_outlines: int = 200
) -> MaskGeometry:
    """Geometry of one class over masks, uint8 [H, W] each.

    Regions below ``least_pixels`` are noise and not counted; ``diversity`` compares the first ``most_outlines``.
    """
    per_image: list[int] = []
    rows: list[tuple[float, float, float, float, float]] = []
    outlines: list[NDArray[np.float64]] = []
    for mask in masks:
        regions = [one for one in instances(mask == class_id) if one.sum() >= least_pixels]
        if regions:
            per_image.append(len(regions))
        for region in regions:
            area, (box, unit) = int(region.sum()), _unit_outline(region)
            simple = simplified(unit, TOLERANCE)
            steps = np.linalg.norm(np.diff(simple, axis=0, append=simple[:1]), axis=1)
            rows.append((area / mask.size, box / mask.size, area / box, float(steps.sum()), float(len(simple))))
            outlines.append(_resampled(simple))
    if not rows:
        return MaskGeometry(*[float("nan")] * 7)
    means = [float(mean) for mean in np.mean(rows, axis=0)]
    diversity = _diversity(outlines[:most_outlines])
    return MaskGeometry(float(np.mean(per_image)), means[0], means[1], means[2], means[3], means[4], diversity)


def instances(region: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Connected parts of a bool [H, W] by four neighbours, in reading order of their first pixels."""
    edges = np.diff(np.pad(region, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)  # runs of pixels, in reading order
    ends = np.nonzero(edges == -1)[1]
    root = list(range(len(rows)))

    def find(run: int) -> int:
        while root[run] != run:
            root[run] = root[root[run]]
            run = root[run]
        return run

    above = 0
    for run in range(len(rows)):
        while rows[above] < rows[run] - 1 or (rows[above] == rows[run] - 1 and ends[above] <= starts[run]):
            above += 1
        other = above
        while rows[other] == rows[run] - 1 and starts[other] < ends[run]:
            a, b = find(other), find(run)
            root[max(a, b)] = min(a, b)
            other += 1
    parts: dict[int, NDArray[np.bool_]] = {}
    for run, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
        parts.setdefault(find(run), np.zeros_like(region))[row, start:end] = True
    return [parts[one] for one in sorted(parts)]


def outline(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Outer outline of a connected region along pixel edges, float64 [P, 2] of (x, y) corners, closed, clockwise."""
    padded = np.pad(region, 1)
    y, x = divmod(int(padded.argmax()), padded.shape[1])
    points: list[tuple[int, int]] = []
    at, heading = (y, x), (0, 1)  # corner coordinates: the pixel (y, x) spans corners y..y+1, x..x+1
    first = (at, heading)
    while True:
        points.append((at[1] - 1, at[0] - 1))
        at = (at[0] + heading[0], at[1] + heading[1])
        # Keep the region to the right of the way: turn right where it opens, left where it blocks.
        for turned in (_right(heading), heading, _left(heading)):
            inside, outside = _sides(at, turned)
            if padded[inside] and not padded[outside]:
                heading = turned
                break
        if (at, heading) == first:
            return np.array(points, np.float64)


def simplified(points: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Douglas–Peucker on a closed line, float64 [P, 2]: the corners that keep it within ``tolerance``."""
    if len(points) < 4:
        return points
    far = int(np.linalg.norm(points - points[0], axis=1).argmax())
    closed = np.concatenate([points, points[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, far, -1]] = True
    waiting = [(0, far), (far, len(points))]
    while waiting:
        start, end = waiting.pop()
        if end - start < 2:
            continue
        between = _line_distance(closed[start + 1 : end], closed[start], closed[end])
        worst = int(between.argmax())
        if between[worst] > tolerance:
            middle = start + 1 + worst
            keep[middle] = True
            waiting += [(start, middle), (middle, end)]
    return closed[:-1][keep[:-1]]


def chamfer(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean nearest distance from [P, 2] to [Q, 2] and back, averaged."""
    between = np.linalg.norm(a[:, None] - b[None], axis=2)
    return float((between.min(1).mean() + between.min(0).mean()) / 2)


def _unit_outline(region: NDArray[np.bool_]) -> tuple[int, NDArray[np.float64]]:
    """Area of the tight box, and the outline in that box scaled to width and height 1."""
    points = outline(region)
    low, extent = points.min(0), np.ptp(points, axis=0)
    return int(extent.prod()), (points - low) / extent


def _resampled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed line as equally spaced points."""
    closed = np.concatenate([points, points[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0, along[-1], _OUTLINE_POINTS, endpoint=False)
    return np.stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)], axis=1)


def _diversity(outlines: list[NDArray[np.float64]]) -> float:
    pairs = [chamfer(a, b) for i, a in enumerate(outlines) for b in outlines[i + 1 :]]
    return float(np.mean(pairs)) if pairs else float("nan")


def _line_distance(points: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of points to the segment from ``a`` to ``b``."""
    way = b - a
    share = ((points - a) @ way / max(float(way @ way), 1e-12)).clip(0, 1)
    return np.asarray(np.linalg.norm(points - (a + share[:, None] * way), axis=1))


def _right(heading: tuple[int, int]) -> tuple[int, int]:
    return heading[1], -heading[0]


def _left(heading: tuple[int, int]) -> tuple[int, int]:
    return -heading[1], heading[0]


def _sides(at: tuple[int, int], heading: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels to the right and to the left of an edge that leaves the corner ``at`` (y, x)."""
    y, x = at
    right = {(0, 1): (y, x), (0, -1): (y - 1, x - 1), (1, 0): (y, x - 1), (-1, 0): (y - 1, x)}[heading]
    left = {(0, 1): (y - 1, x), (0, -1): (y, x - 1), (1, 0): (y, x), (-1, 0): (y - 1, x - 1)}[heading]
    return right, left
