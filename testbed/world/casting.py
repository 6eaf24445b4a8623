"""Rays through a head, compiled: what each ray meets first, what colour it has there, and the vote of a pixel.

Nearest hit of a ray with the scene's ellipsoids and plates; Lambert shading with one light.

All compiled code is in this file, for numba's cache notices a change only in the file of the function that it has
compiled: touch this file after changing a constant in `scene` or `camera`.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from testbed.world import scene as s
from testbed.world.camera import CAMERA_DISTANCE, VIEW
from testbed.world.scene import CLASS_NAMES, Number

Floats = NDArray[np.float64]

SAMPLES = 2  # rays per pixel edge
_FAR = 1e9


@numba.njit(cache=True, fastmath=True)
def _hit_ellipsoid(solid: Floats, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    """Nearest distance at which the ray meets the ellipsoid, or _FAR; the ray is in the head's frame."""
    qx, qy, qz = ox - solid[s.CX], oy - solid[s.CY], (oz - solid[s.CZ]) / solid[s.RZ]
    ax = (solid[s.COS] * qx + solid[s.SIN] * qy) / solid[s.RX]
    ay = (-solid[s.SIN] * qx + solid[s.COS] * qy) / solid[s.RY]
    bx = (solid[s.COS] * dx + solid[s.SIN] * dy) / solid[s.RX]
    by = (-solid[s.SIN] * dx + solid[s.COS] * dy) / solid[s.RY]
    bz = dz / solid[s.RZ]
    a = bx * bx + by * by + bz * bz
    b = ax * bx + ay * by + qz * bz
    c = ax * ax + ay * ay + qz * qz - 1
    root = b * b - a * c
    if root <= 0:
        return _FAR
    return float((-b - np.sqrt(root)) / a)


@numba.njit(cache=True, fastmath=True)
def _kept_by_rule(solid: Floats, x: float, y: float, z: float) -> bool:
    """Whether the solid's surface exists at the head-frame point (hair ends at the hairline, a hat at its rim)."""
    surface = int(solid[s.SURFACE])
    if surface == s.HAIR_CAP:
        line = solid[s.RULE_A] + solid[s.RULE_B] * x + 0.012 * np.sin(38 * x)
        return bool(y > line - 1.9 * max(0.0, 0.17 - z))
    if surface == s.HAT_DOME:
        return bool(y > solid[s.RULE_A])
    return True


@numba.njit(cache=True, fastmath=True)
def _hit_glasses(g: Floats, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> tuple[float, int]:
    """Distance to the glasses, and what was hit: 0 nothing, 1 frame or temple, 2 clear lens, 3 dark lens."""
    style = int(g[0])
    best, what = _FAR, 0
    if abs(dz) > 1e-6:
        t = (g[4] - oz) / dz
        x, y = ox + t * dx, oy + t * dy - g[2]
        u, v = abs(x) - g[1], y
        reach = max(abs(u), 1.15 * abs(v)) if style == 2 else np.sqrt(u * u + v * v)
        if reach < g[3] + 0.013:
            best = t
            what = 3 if style == 3 else 1 if reach > g[3] - 0.020 else 2
        elif abs(x) < g[1] and abs(v) < 0.015:
            best, what = t, 1
    if abs(dx) > 1e-6:
        for side in (-1.0, 1.0):
            t = (side * (g[1] + g[3]) * 1.27 - ox) / dx
            y, z = oy + t * dy - g[2], oz + t * dz
            if abs(y) < 0.016 and g[4] - 0.32 < z < g[4] and t < best:
                best, what = t, 1
    return best, what


@numba.njit(cache=True, fastmath=True)
def strand_phase(x: Number, y: Number) -> Number:
    """Whose sine is how bright hair is at a head-frame point, in parts of its stripes' strength."""
    return 34 * x + 9 * y + 6 * np.sin(5 * y)


@numba.njit(cache=True, fastmath=True)
def _colour_at(solid: Floats, numbers: Floats, x: float, y: float, out: Floats) -> None:
    """Surface colour at a head-frame point, into out[0:3]."""
    r, g, b = solid[s.RED], solid[s.GREEN], solid[s.BLUE]
    surface = int(solid[s.SURFACE])
    if surface == s.SKIN_SURFACE:
        cheek = np.exp(-(((abs(x) - 0.17) / 0.07) ** 2) - ((y + 0.10) / 0.065) ** 2)
        weight = 0.55 * numbers[0] * cheek
        r, g, b = r * (1 - 0.05 * weight), g * (1 - 0.45 * weight), b * (1 - 0.38 * weight)
    elif surface == s.HAIR_SURFACE or surface == s.HAIR_CAP:
        wave = 1 + numbers[1] * np.sin(strand_phase(x, y))
        r, g, b = r * wave, g * wave, b * wave
    elif surface == s.HAT_DOME:
        wave = 1 + numbers[2] * np.sin(30 * y)
        r, g, b = r * wave, g * wave, b * wave
    elif surface == s.EYE_SURFACE:
        u = (x - solid[s.CX]) / 0.062 - 0.30 * solid[s.RULE_A]
        v = (y - solid[s.CY]) / 0.062 - 0.20 * solid[s.RULE_B]
        reach = u * u + v * v
        if reach < 0.05:
            r, g, b = 0.03, 0.03, 0.03
        elif reach < 0.28:
            r, g, b = numbers[3], numbers[4], numbers[5]
    elif surface == s.LIP_SURFACE:
        v = (y - solid[s.CY]) / solid[s.RY]
        if abs(v) < 0.62 * solid[s.RULE_A]:
            r, g, b = 0.22 * r, 0.12 * g, 0.12 * b
    out[0], out[1], out[2] = r, g, b


@numba.njit(cache=True, fastmath=True)
def _normal_at(solids: Floats, index: int, x: float, y: float, z: float, out: Floats) -> None:
    """Outward unit normal at a head-frame point, into out[0:3]; cranium and jaw are blended, so that no seam shows."""
    nx, ny, nz = 0.0, 0.0, 0.0
    first, last = (0, 2) if index < 2 else (index, index + 1)
    for i in range(first, last):
        solid = solids[i]
        qx, qy = x - solid[s.CX], y - solid[s.CY]
        u = (solid[s.COS] * qx + solid[s.SIN] * qy) / solid[s.RX]
        v = (-solid[s.SIN] * qx + solid[s.COS] * qy) / solid[s.RY]
        w = (z - solid[s.CZ]) / solid[s.RZ]
        weight = np.exp(-14 * (np.sqrt(u * u + v * v + w * w) - 1)) if last - first > 1 else 1.0
        gx, gy, gz = u / solid[s.RX], v / solid[s.RY], w / solid[s.RZ]
        gx, gy = solid[s.COS] * gx - solid[s.SIN] * gy, solid[s.SIN] * gx + solid[s.COS] * gy
        length = weight / np.sqrt(gx * gx + gy * gy + gz * gz)
        nx, ny, nz = nx + gx * length, ny + gy * length, nz + gz * length
    length = 1 / np.sqrt(nx * nx + ny * ny + nz * nz)
    out[0], out[1], out[2] = nx * length, ny * length, nz * length


@numba.njit(cache=True, fastmath=True)
def _wall_colour(wall: Floats, x: float, y: float, out: Floats) -> None:
    """Background at picture coordinates in [-1, 1], into out[0:3]: nine colours that run into one another."""
    u, v = 1 + x, 1 - y  # columns and rows of the colours
    column, row = min(1, max(0, int(u))), min(1, max(0, int(v)))
    u, v = min(1.0, max(0.0, u - column)), min(1.0, max(0.0, v - row))
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    for k in range(3):
        above = (1 - u) * wall[row, column, k] + u * wall[row, column + 1, k]
        below = (1 - u) * wall[row + 1, column, k] + u * wall[row + 1, column + 1, k]
        out[k] = (1 - v) * above + v * below


@numba.njit(cache=True, fastmath=True)
def _ray(
    solids: Floats,
    near: Floats,
    glasses: Floats,
    turn: Floats,
    camera: Floats,
    light: Floats,
    numbers: Floats,
    wall: Floats,
    narrow: bool,
    px: float,
    py: float,
    colour: Floats,
    normal: Floats,
) -> tuple[int, float]:
    """One ray through picture point (px, py), in head units.

    Returns class and distance; writes colour[0:3] and, where something is hit, normal[0:3].
    """
    x, y = (px - camera[1]) / camera[0], (py - camera[2]) / camera[0]
    depth = CAMERA_DISTANCE / camera[0]
    ox = turn[0, 0] * x + turn[1, 0] * y + turn[2, 0] * depth
    oy = turn[0, 1] * x + turn[1, 1] * y + turn[2, 1] * depth
    oz = turn[0, 2] * x + turn[1, 2] * y + turn[2, 2] * depth
    dx, dy, dz = -turn[2, 0], -turn[2, 1], -turn[2, 2]
    best, index = _FAR, -1
    for i in range(len(solids)):
        if near[i, 2] <= 0 or (px - near[i, 0]) ** 2 + (py - near[i, 1]) ** 2 > near[i, 2]:
            continue
        solid = solids[i]
        if int(solid[s.SURFACE]) == s.OCCLUDER:
            best, index = 0.5 * depth, i  # it hangs before everything else
            continue
        t = _hit_ellipsoid(solid, ox, oy, oz, dx, dy, dz)
        if t < best and _kept_by_rule(solid, ox + t * dx, oy + t * dy, oz + t * dz):
            best, index = t, i
    class_id = 0
    if index < 0:
        _wall_colour(wall, px / VIEW, py / VIEW, colour)
    else:
        solid = solids[index]
        class_id = int(solid[s.CLASS])
        hx, hy, hz = ox + best * dx, oy + best * dy, oz + best * dz
        _colour_at(solid, numbers, hx, hy, colour)
        if int(solid[s.SURFACE]) == s.OCCLUDER:
            u, v = (px - solid[s.CX]) / solid[s.RX], (py - solid[s.CY]) / solid[s.RY]
            nx, ny, nz = u, v, np.sqrt(max(0.0, 1 - u * u - v * v))
        else:
            _normal_at(solids, index, hx, hy, hz, normal)
            nx = turn[0, 0] * normal[0] + turn[0, 1] * normal[1] + turn[0, 2] * normal[2]
            ny = turn[1, 0] * normal[0] + turn[1, 1] * normal[1] + turn[1, 2] * normal[2]
            nz = turn[2, 0] * normal[0] + turn[2, 1] * normal[1] + turn[2, 2] * normal[2]
        normal[0], normal[1], normal[2] = nx, ny, nz
        lit = max(0.0, nx * light[0] + ny * light[1] + nz * light[2])
        for k in range(3):
            colour[k] = colour[k] * (light[6 + k] + light[3 + k] * lit)
        if narrow and int(solid[s.SURFACE]) == s.NECK:
            class_id = s.BACKGROUND
        elif narrow and class_id == s.NOSE and hy > solids[index, s.CY] + 0.02:
            class_id = s.SKIN
    if int(glasses[0]) > 0:
        t, what = _hit_glasses(glasses, ox, oy, oz, dx, dy, dz)
        if t < best and what > 0:
            if what == 2:
                for k in range(3):
                    colour[k] = 0.90 * colour[k] + 0.05
            else:
                best, class_id = t, s.GLASSES
                normal[0], normal[1], normal[2] = turn[0, 2], turn[1, 2], turn[2, 2]
                for k in range(3):
                    base = glasses[5 + k] if what == 1 else numbers[6 + k]
                    colour[k] = base * (light[6 + k] + 0.6 * light[3 + k])
    return class_id, best * camera[0]


@numba.njit(cache=True, fastmath=True)
def _footprints(solids: Floats, turn: Floats, camera: Floats, near: Floats) -> None:
    """For each solid, the circle of the picture outside of which no ray can meet it: x, y, squared radius."""
    for i in range(len(solids)):
        solid = solids[i]
        if solid[s.CLASS] < 0:
            near[i, 2] = -1
            continue
        if int(solid[s.SURFACE]) == s.OCCLUDER:
            near[i, 0], near[i, 1], near[i, 2] = solid[s.CX], solid[s.CY], solid[s.RX] ** 2
            continue
        for k in range(2):
            near[i, k] = camera[1 + k] + camera[0] * (
                turn[k, 0] * solid[s.CX] + turn[k, 1] * solid[s.CY] + turn[k, 2] * solid[s.CZ]
            )
        near[i, 2] = (camera[0] * max(solid[s.RX], solid[s.RY], solid[s.RZ])) ** 2


@numba.njit(cache=True, parallel=True, fastmath=True)
def cast(
    solids: Floats,
    glasses: Floats,
    turns: Floats,
    cameras: Floats,
    lights: Floats,
    numbers: Floats,
    walls: Floats,
    narrow: bool,
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    depths: NDArray[np.float32],
    normals: NDArray[np.float32],
) -> None:
    """Fill images, masks, depths and normals, as `render.Rendering` describes them; normals come as zeros."""
    count, size = masks.shape[0], masks.shape[1]
    step = 2 * VIEW / (size * SAMPLES)
    for n in numba.prange(count):
        near = np.empty((solids.shape[1], 3))
        _footprints(solids[n], turns[n], cameras[n], near)
        colour, normal = np.empty(3), np.empty(3)
        votes = np.empty(len(CLASS_NAMES), np.int64)
        for row in range(size):
            for column in range(size):
                red = green = blue = 0.0
                distance, hits = 0.0, 0
                votes[:] = 0
                for sub in range(SAMPLES * SAMPLES):
                    px = -VIEW + step * (column * SAMPLES + sub % SAMPLES + 0.5)
                    py = VIEW - step * (row * SAMPLES + sub // SAMPLES + 0.5)
                    class_id, t = _ray(
                        solids[n], near, glasses[n], turns[n], cameras[n], lights[n], numbers[n], walls[n], narrow,
                        px, py, colour, normal,
                    )  # fmt: skip
                    votes[class_id] += 1
                    red += min(1.0, max(0.0, colour[0]))
                    green += min(1.0, max(0.0, colour[1]))
                    blue += min(1.0, max(0.0, colour[2]))
                    if t < 0.5 * _FAR:
                        for k in range(3):
                            normals[n, row, column, k] += normal[k] / (SAMPLES * SAMPLES)
                        distance += t
                        hits += 1
                # A tie goes to the rarer part: ids rise with rarity.
                winner = 0
                for k in range(1, len(CLASS_NAMES)):
                    if votes[k] >= votes[winner]:
                        winner = k
                masks[n, row, column] = winner
                scale = 255.0 / (SAMPLES * SAMPLES)
                images[n, row, column, 0] = int(scale * red + 0.5)
                images[n, row, column, 1] = int(scale * green + 0.5)
                images[n, row, column, 2] = int(scale * blue + 0.5)
                depths[n, row, column] = distance / hits if hits > 0 else 0.0
