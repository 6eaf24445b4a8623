"""From a mask to polygons that say exactly the same, and the same polygon for a region with holes.

The outline runs along the edges between pixels, on whole coordinates, so that filling it by pixel centres (even-odd)
gives the mask back. A hole is joined to what surrounds it by a slit without width, because formats of one polygon a
region have no other way to say it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]
_Loop = list[Point]


def outlines(where: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Polygons int64 [P, 2] of (x, y), one for each 4-connected region of ``where`` (bool [H, W]), not closed twice."""
    loops = _loops(where)
    owner = {edge: number for number, loop in enumerate(loops) for edge in zip(loop, loop[1:] + loop[:1], strict=True)}
    outer = [number for number, loop in enumerate(loops) if _is_outer(loop)]
    holes = sorted(set(range(len(loops))) - set(outer), key=lambda number: _top_left(loops[number]))
    joined: dict[int, dict[Point, list[_Loop]]] = {}
    # What hangs below a hole is lower than its top: from the lowest up, every hole is whole when it is joined itself.
    for number in reversed(holes):
        x, y = _top_left(loops[number])[::-1]
        first = loops[number].index((x, y))
        hole = _spliced(loops[number][first:] + loops[number][:first], joined.pop(number, {}))
        top = y - 1
        while top and where[top - 1, x]:
            top -= 1
        above = owner[(x, top), (x + 1, top)]
        joined.setdefault(above, {}).setdefault((x, top), []).append(hole)
    return [_corners(_spliced(loops[number], joined.get(number, {}))) for number in outer]


def _loops(where: NDArray[np.bool_]) -> list[_Loop]:
    """Closed paths of unit steps with the region on their right hand (y points down)."""
    padded = np.pad(where, 1)
    following: dict[Point, list[Point]] = {}

    def step(rows: NDArray[np.intp], columns: NDArray[np.intp], dx: int, dy: int) -> None:
        for y, x in zip(rows.tolist(), columns.tolist(), strict=True):
            following.setdefault((x, y), []).append((x + dx, y + dy))

    inside, above, left = padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1]
    rows, columns = np.nonzero(inside & ~above)
    step(rows, columns, 1, 0)
    rows, columns = np.nonzero(~inside & above)
    step(rows, columns + 1, -1, 0)
    rows, columns = np.nonzero(inside & ~left)
    step(rows + 1, columns, 0, -1)
    rows, columns = np.nonzero(~inside & left)
    step(rows, columns, 0, 1)
    loops = []
    while following:
        start, ends = next(iter(following.items()))
        loop, here = [start], ends.pop()
        if not ends:
            del following[start]
        before = start
        while here != start or _goes_on(following, before, here, loop):
            loop.append(here)
            before, here = here, _next(following, before, here)
        loops.append(loop)
    return loops


def _goes_on(following: dict[Point, list[Point]], before: Point, here: Point, loop: _Loop) -> bool:
    """Whether a path that is back at its start touches itself there only by a corner, and goes on."""
    if here not in following:
        return False
    return _right_of(before, here) != loop[1]


def _next(following: dict[Point, list[Point]], before: Point, here: Point) -> Point:
    """The next corner. Where two regions touch by a corner, turning right stays with the same region."""
    ends = following[here]
    right = _right_of(before, here)
    chosen = right if len(ends) > 1 and right in ends else ends[0]
    ends.remove(chosen)
    if not ends:
        del following[here]
    return chosen


def _right_of(before: Point, here: Point) -> Point:
    dx, dy = here[0] - before[0], here[1] - before[1]
    return here[0] - dy, here[1] + dx


def _is_outer(loop: _Loop) -> bool:
    """Whether the loop bounds a region from outside: with y down and the region to the right its area is positive."""
    x, y = np.array(loop).T
    area: Any = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
    return bool(area > 0)


def _top_left(loop: _Loop) -> Point:
    """(y, x) of the highest corner, the leftmost of these."""
    return min((y, x) for x, y in loop)


def _spliced(loop: _Loop, holes: dict[Point, list[_Loop]]) -> _Loop:
    """The loop with every hole behind the corner above it, by a way there and back."""
    path: _Loop = []
    for point in loop:
        path.append(point)
        for hole in holes.pop(point, []):
            path += [*hole, hole[0], point]
    return path


def _corners(path: _Loop) -> NDArray[np.int64]:
    """The path without points on straight stretches."""
    points = np.array(path, np.int64)  # [P, 2]
    ahead, behind = np.roll(points, -1, 0) - points, points - np.roll(points, 1, 0)
    straight = (ahead[:, 0] * behind[:, 1] == ahead[:, 1] * behind[:, 0]) & ((ahead * behind).sum(1) > 0)
    corners: NDArray[np.int64] = points[~straight]
    return corners
