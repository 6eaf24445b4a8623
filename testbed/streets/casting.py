"""Rays through a street, compiled: which part each ray meets first, what colour it has there, and the vote of a pixel.

A ray is origin + t · direction, and a direction is the view's axis plus a part across it, so that t is depth along the
axis. Solids are met in coordinates of their own, in which their half extents are 1.

All compiled code is in this file, for numba's cache notices a change only in the file of the function that it has
compiled: touch this file after changing a constant in `scene`.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from testbed.streets import scene as s

Floats = NDArray[np.float64]

SAMPLES = 2  # rays per pixel edge
RANGE = 100.0
"""Metres on the ground from the camera to the backdrop, behind which nothing is."""
_FAR = 1e9
_NEAR = 0.2
_CLASSES = len(s.CLASS_NAMES)

# Columns of the numbers of a street as a whole.
(
    CURVE, HALF_ROAD, PAVEMENT, MARKS, MARK_PHASE, MARK_CONTRAST, ZEBRA, HILL, HILL_HEIGHT, HILL_PHASE, CLOUD,
    CLOUD_PHASE, HAZE, DAYLIGHT,
) = range(14)  # fmt: skip
# Rows of its colours.
ROAD_COLOUR, PAVEMENT_COLOUR, LAWN_COLOUR, ZENITH, HORIZON, HILL_COLOUR, SUN, AMBIENT = range(8)
# Columns of a shadow: place, turn, half extents, strength.
SHADE_X, SHADE_Z, SHADE_COS, SHADE_SIN, SHADE_RX, SHADE_RZ, SHADE_STRENGTH = range(7)


@numba.njit(cache=True, fastmath=True)
def _into(solid: Floats, origin: Floats, direction: Floats, a: Floats, b: Floats) -> None:
    """The ray in the solid's own coordinates: from a[0:3] along b[0:3]."""
    x, z = origin[0] - solid[s.CX], origin[2] - solid[s.CZ]
    a[0] = (solid[s.COS] * x - solid[s.SIN] * z) / solid[s.RX]
    a[1] = (origin[1] - solid[s.CY]) / solid[s.RY]
    a[2] = (solid[s.SIN] * x + solid[s.COS] * z) / solid[s.RZ]
    b[0] = (solid[s.COS] * direction[0] - solid[s.SIN] * direction[2]) / solid[s.RX]
    b[1] = direction[1] / solid[s.RY]
    b[2] = (solid[s.SIN] * direction[0] + solid[s.COS] * direction[2]) / solid[s.RZ]


@numba.njit(cache=True, fastmath=True)
def _hit_prism(a: Floats, b: Floats, top: float) -> float:
    """Nearest t at which the ray enters |x| ≤ 1, |y| ≤ 1, |z| ≤ 1 narrowing to ``top`` at y = 1, or _FAR."""
    enter, leave = _NEAR, _FAR
    slope, reach = 0.5 * (1 - top), 0.5 * (1 + top)
    for face in range(6):
        sign = 1.0 if face % 2 else -1.0
        if face < 4:
            at, along, limit = sign * a[face // 2], sign * b[face // 2], 1.0
        else:
            at, along, limit = sign * a[2] + slope * a[1], sign * b[2] + slope * b[1], reach
        if abs(along) < 1e-12:
            if at > limit:
                return _FAR
            continue
        t = (limit - at) / along
        if along < 0:
            enter = max(enter, t)
        else:
            leave = min(leave, t)
        if enter > leave:
            return _FAR
    return enter if enter > _NEAR else _FAR


@numba.njit(cache=True, fastmath=True)
def _hit_ellipsoid(a: Floats, b: Floats) -> float:
    """Nearest t at which the ray meets the unit ball, or _FAR."""
    bb = b[0] * b[0] + b[1] * b[1] + b[2] * b[2]
    ab = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    root = ab * ab - bb * (a[0] * a[0] + a[1] * a[1] + a[2] * a[2] - 1)
    if root <= 0:
        return _FAR
    t = (-ab - np.sqrt(root)) / bb
    return t if t > _NEAR else _FAR


@numba.njit(cache=True, fastmath=True)
def _hit_frustum(a: Floats, b: Floats, top: float) -> float:
    """Nearest t at which the ray meets x² + z² ≤ r(y)², |y| ≤ 1, r from 1 at y = -1 to ``top`` at 1, or _FAR."""
    best = _FAR
    slope, reach = 0.5 * (1 - top), 0.5 * (1 + top)
    wide, widen = reach - slope * a[1], -slope * b[1]  # the radius along the ray
    bb = b[0] * b[0] + b[2] * b[2] - widen * widen
    ab = a[0] * b[0] + a[2] * b[2] - wide * widen
    root = ab * ab - bb * (a[0] * a[0] + a[2] * a[2] - wide * wide)
    if root > 0 and abs(bb) > 1e-12:
        for sign in (-1.0, 1.0):
            t = (-ab + sign * np.sqrt(root)) / bb
            if _NEAR < t < best and abs(a[1] + t * b[1]) <= 1 and wide + t * widen >= 0:
                best = t
    if abs(b[1]) > 1e-12:
        for cap in (-1.0, 1.0):
            t = (cap - a[1]) / b[1]
            x, z = a[0] + t * b[0], a[2] + t * b[2]
            radius = top if cap > 0 else 1.0
            if _NEAR < t < best and x * x + z * z <= radius * radius:
                best = t
    return best


@numba.njit(cache=True, fastmath=True)
def _hit(solid: Floats, a: Floats, b: Floats) -> float:
    shape = int(solid[s.SHAPE])
    if shape == s.PRISM:
        return _hit_prism(a, b, solid[s.TOP])
    if shape == s.ELLIPSOID:
        return _hit_ellipsoid(a, b)
    return _hit_frustum(a, b, solid[s.TOP])


@numba.njit(cache=True, fastmath=True)
def _normal_at(solid: Floats, p: Floats, out: Floats) -> None:
    """Outward unit normal in the street's frame at a point p of the surface in the solid's own coordinates."""
    shape, slope = int(solid[s.SHAPE]), 0.5 * (1 - solid[s.TOP])
    x, y, z = p[0], p[1], p[2]
    if shape == s.PRISM:
        over_x, over_y = abs(p[0]) - 1, abs(p[1]) - 1
        over_z = abs(p[2]) + slope * p[1] - 0.5 * (1 + solid[s.TOP])
        x = y = z = 0.0
        if over_x >= over_y and over_x >= over_z:
            x = np.sign(p[0])
        elif over_y >= over_z:
            y = np.sign(p[1])
        else:
            y, z = slope, np.sign(p[2])
    elif shape == s.FRUSTUM:
        if abs(p[1]) > 1 - 1e-9:
            x, y, z = 0.0, np.sign(p[1]), 0.0
        else:
            y = slope * np.sqrt(p[0] * p[0] + p[2] * p[2])
    x, y, z = x / solid[s.RX], y / solid[s.RY], z / solid[s.RZ]
    x, z = solid[s.COS] * x + solid[s.SIN] * z, -solid[s.SIN] * x + solid[s.COS] * z
    length = 1 / np.sqrt(x * x + y * y + z * z)
    out[0], out[1], out[2] = x * length, y * length, z * length


@numba.njit(cache=True, fastmath=True)
def _paint(colour: Floats, r: float, g: float, b: float) -> None:
    colour[0], colour[1], colour[2] = r, g, b


@numba.njit(cache=True, fastmath=True)
def _solid_colour(solid: Floats, p: Floats, normal: Floats, colour: Floats) -> None:
    """Colour of the surface at a point p in the solid's own coordinates, before light, into colour[0:3]."""
    _paint(colour, solid[s.RED], solid[s.GREEN], solid[s.BLUE])
    surface = int(solid[s.SURFACE])
    x, y, z = p[0] * solid[s.RX], p[1] * solid[s.RY], p[2] * solid[s.RZ]
    if surface == s.FACADE and abs(normal[1]) < 0.5:
        along = x if abs(p[2]) > abs(p[0]) else z
        across, up = (along / 3.0) % 1.0, ((y + solid[s.RY]) / 3.1) % 1.0
        half = 0.5 * solid[s.RULE_B]
        if abs(across - 0.5) < half and abs(up - 0.52) < half + 0.04:
            tone = solid[s.RULE_A]
            for k in range(3):
                if tone < 0:
                    colour[k] *= 1 + 0.85 * tone
                else:
                    colour[k] += tone * (1.0 - 0.2 * k - colour[k])
    elif surface == s.LEAVES:
        wave = 1 + solid[s.RULE_A] * np.sin(3.3 * (x + solid[s.CX]) + 2.1 * y) * np.sin(2.9 * y + 1.7 * z + 1)
        for k in range(3):
            colour[k] *= wave
    elif surface == s.BODY:
        if solid[s.RULE_A] > 0 and 0.15 < p[1] < 0.72 and abs(normal[1]) < 0.5:
            _paint(colour, 0.10, 0.12, 0.15)
        elif abs(p[2]) > abs(p[0]) and -0.5 < p[1] < 0.25 and abs(p[0]) > 0.6:
            if solid[s.RULE_B] > 0:
                _paint(colour, 1.0, 0.98, 0.85)
            else:
                _paint(colour, 0.75, 0.06, 0.05)
    elif surface == s.GLASS and normal[1] < 0.9:
        _paint(colour, 0.12, 0.15, 0.19)
    elif surface == s.FACE:
        reach = max(abs(p[0]), abs(p[1])) if solid[s.RULE_A] > 0 else np.sqrt(p[0] * p[0] + p[1] * p[1])
        if reach > 0.80 or (abs(p[1]) < 0.22 and abs(p[0]) < 0.55):
            _paint(colour, 0.93, 0.93, 0.93)
    elif surface == s.LIGHTS:
        lamp = -1
        for k in range(3):
            if (x * x) + (y - (0.64 - 0.64 * k) * solid[s.RY]) ** 2 < (0.6 * solid[s.RX]) ** 2:
                lamp = k
        if lamp == 0:
            _paint(colour, 0.95, 0.15, 0.10)
        elif lamp == 1:
            _paint(colour, 0.95, 0.70, 0.10)
        elif lamp == 2:
            _paint(colour, 0.15, 0.85, 0.40)


@numba.njit(cache=True, fastmath=True)
def _ground(numbers: Floats, colours: Floats, shades: Floats, x: float, z: float, t: float, colour: Floats) -> int:
    """Class and colour of the ground at (x, z), a depth t away."""
    across = x - numbers[CURVE] * z * z
    beyond = abs(across) - numbers[HALF_ROAD]
    fade = np.exp(-t / 25)
    if beyond < 0:
        class_id, row = s.ROAD, ROAD_COLOUR
        texture = 1 + 0.05 * np.sin(0.8 * z + 0.7 * across) + 0.05 * fade * np.sin(2.3 * across)
    elif beyond < numbers[PAVEMENT]:
        class_id, row = s.PAVEMENT, PAVEMENT_COLOUR
        texture = 1 + 0.10 * fade * np.sign(np.sin(3.5 * beyond) * np.sin(2.6 * z))
        if beyond < 0.22:
            texture = 0.72  # the kerb
    else:
        class_id, row = s.VEGETATION, LAWN_COLOUR
        texture = 1 + 0.12 * np.sin(1.3 * x + 0.4 * z) * np.sin(1.1 * z - 0.5 * x)
    for k in range(3):
        colour[k] = colours[row, k] * texture
    if class_id == s.ROAD:
        marks = int(numbers[MARKS])
        painted = abs(across) < 0.17 and (marks == 2 or (marks == 1 and (z + numbers[MARK_PHASE]) % 6.0 < 3.0))
        ahead = z - numbers[ZEBRA]
        if numbers[ZEBRA] > 6 and -1 < ahead < 4:
            painted = 0 < ahead < 3 and (across + 100.0) % 1.2 < 0.6
        if painted:
            for k in range(3):
                colour[k] += numbers[MARK_CONTRAST] * (0.95 - colour[k])
    dark = 0.0
    for i in range(len(shades)):
        shade = shades[i]
        dx, dz = x - shade[SHADE_X], z - shade[SHADE_Z]
        u = (shade[SHADE_COS] * dx - shade[SHADE_SIN] * dz) / shade[SHADE_RX]
        v = (shade[SHADE_SIN] * dx + shade[SHADE_COS] * dz) / shade[SHADE_RZ]
        reach = u * u + v * v
        if reach < 3:
            dark = max(dark, shade[SHADE_STRENGTH] * min(1.0, 1.5 * np.exp(-reach)))
    for k in range(3):
        colour[k] *= 1 - dark
    return class_id


@numba.njit(cache=True, fastmath=True)
def _hill(numbers: Floats, azimuth: float) -> float:
    """Height of the backdrop's outline in a direction."""
    wave = np.sin(5 * azimuth + numbers[HILL_PHASE])
    if numbers[HILL] > 0:
        wave = np.tanh(4 * np.sin(9 * azimuth + numbers[HILL_PHASE]))
    return float(numbers[HILL_HEIGHT] * (0.7 + 0.3 * wave))


@numba.njit(cache=True, fastmath=True)
def _sky(numbers: Floats, colours: Floats, direction: Floats, level: float, colour: Floats) -> None:
    """Colour of the sky; ``level``: length of the direction's part on the ground."""
    rise = direction[1] / level
    up = min(1.0, max(0.0, 1.4 * rise))
    cloud = numbers[CLOUD] * np.sin(9 * rise + numbers[CLOUD_PHASE]) * np.sin(4 * direction[0] / level + 3 * rise)
    for k in range(3):
        colour[k] = numbers[DAYLIGHT] * (colours[HORIZON, k] + up * (colours[ZENITH, k] - colours[HORIZON, k]) + cloud)


@numba.njit(cache=True, fastmath=True)
def _ray(
    solids: Floats,
    order: NDArray[np.int64],
    near: Floats,
    active: int,
    u: float,
    numbers: Floats,
    colours: Floats,
    shades: Floats,
    sun: Floats,
    origin: Floats,
    direction: Floats,
    colour: Floats,
    normal: Floats,
    a: Floats,
    b: Floats,
    p: Floats,
) -> tuple[int, float]:
    """One ray: class and depth (0 in the sky); writes colour[0:3] and normal[0:3] (street's frame)."""
    level = np.sqrt(direction[0] ** 2 + direction[2] ** 2)
    best, index = RANGE / level, -1
    on_ground = False
    if direction[1] < -1e-9 and -origin[1] / direction[1] < best:
        best, on_ground = -origin[1] / direction[1], True
    for k in range(active):
        i = order[k]
        if near[i, 4] >= best:
            break
        if u < near[i, 0] or u > near[i, 1]:
            continue
        _into(solids[i], origin, direction, a, b)
        t = _hit(solids[i], a, b)
        if t < best:
            best, index = t, i
    x, z = origin[0] + best * direction[0], origin[2] + best * direction[2]
    if index >= 0:
        solid = solids[index]
        _into(solid, origin, direction, a, b)
        for k in range(3):
            p[k] = a[k] + best * b[k]
        _normal_at(solid, p, normal)
        class_id = int(solid[s.CLASS])
        _solid_colour(solid, p, normal, colour)
    elif on_ground:
        normal[0], normal[1], normal[2] = 0.0, 1.0, 0.0
        class_id = _ground(numbers, colours, shades, x, z, best, colour)
    else:
        azimuth = np.arctan2(direction[0], direction[2])
        if origin[1] + best * direction[1] > _hill(numbers, azimuth):
            _sky(numbers, colours, direction, level, colour)
            normal[0], normal[1], normal[2] = 0.0, 0.0, 0.0
            return s.SKY, 0.0
        class_id = s.BUILDING if numbers[HILL] > 0 else s.VEGETATION
        normal[0], normal[1], normal[2] = -direction[0] / level, 0.0, -direction[2] / level
        for k in range(3):
            colour[k] = colours[HILL_COLOUR, k]
    lit = max(0.0, normal[0] * sun[0] + normal[1] * sun[1] + normal[2] * sun[2])
    # What looks down gets less of the light that comes from everywhere.
    ambient = 0.75 + 0.25 * normal[1]
    clear = np.exp(-numbers[HAZE] * best)
    for k in range(3):
        seen = colour[k] * (ambient * colours[AMBIENT, k] + lit * colours[SUN, k])
        colour[k] = numbers[DAYLIGHT] * (clear * seen + (1 - clear) * colours[HORIZON, k])
    return class_id, best


@numba.njit(cache=True, fastmath=True)
def _bounds(solids: Floats, origin: Floats, axes: Floats, half_view: float, near: Floats) -> None:
    """For each solid the part of the picture outside of which no ray can meet it (u, u, v, v), and its least depth."""
    for i in range(len(solids)):
        solid = solids[i]
        near[i, 0], near[i, 1], near[i, 2], near[i, 3], near[i, 4] = _FAR, -_FAR, _FAR, -_FAR, _FAR
        if solid[s.CLASS] < 0:
            continue
        reach = max(1.0, solid[s.TOP])
        behind = False
        farthest = -_FAR
        for corner in range(8):
            x = reach * solid[s.RX] * (1 if corner & 1 else -1)
            y = solid[s.RY] * (1 if corner & 2 else -1) + solid[s.CY] - origin[1]
            z = reach * solid[s.RZ] * (1 if corner & 4 else -1)
            dx = solid[s.COS] * x + solid[s.SIN] * z + solid[s.CX] - origin[0]
            dz = -solid[s.SIN] * x + solid[s.COS] * z + solid[s.CZ] - origin[2]
            depth = axes[2, 0] * dx + axes[2, 1] * y + axes[2, 2] * dz
            near[i, 4], farthest = min(near[i, 4], depth), max(farthest, depth)
            if depth < _NEAR:
                behind = True
                continue
            u = (axes[0, 0] * dx + axes[0, 1] * y + axes[0, 2] * dz) / (depth * half_view)
            v = (axes[1, 0] * dx + axes[1, 1] * y + axes[1, 2] * dz) / (depth * half_view)
            near[i, 0], near[i, 1] = min(near[i, 0], u), max(near[i, 1], u)
            near[i, 2], near[i, 3] = min(near[i, 2], v), max(near[i, 3], v)
        if behind:
            near[i, 0], near[i, 1], near[i, 2], near[i, 3] = -_FAR, _FAR, -_FAR, _FAR
        if farthest < _NEAR:
            near[i, 4] = _FAR


@numba.njit(cache=True, parallel=True, fastmath=True)
def cast(
    solids: Floats,
    shades: Floats,
    numbers: Floats,
    colours: Floats,
    suns: Floats,
    origins: Floats,
    axes: Floats,
    half_views: Floats,
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    depths: NDArray[np.float32],
    normals: NDArray[np.float32],
) -> None:
    """Fill images, masks, depths and normals of N streets; `render` says what the arrays hold."""
    count, size = masks.shape[0], masks.shape[1]
    step = 2.0 / (size * SAMPLES)
    rays = SAMPLES * SAMPLES
    for n in numba.prange(count):
        near = np.empty((solids.shape[1], 5))
        _bounds(solids[n], origins[n], axes[n], half_views[n], near)
        by_depth = np.argsort(near[:, 4])
        order = np.empty(solids.shape[1], np.int64)
        colour, normal, a, b, p = np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(3)
        direction = np.empty(3)
        classes, depth = np.empty(rays, np.int64), np.empty(rays)
        turned = np.empty((rays, 3))
        votes = np.empty(_CLASSES, np.int64)
        for row in range(size):
            top, bottom = 1 - 2.0 * row / size, 1 - 2.0 * (row + 1) / size
            active = 0
            for i in by_depth:
                if near[i, 4] < _FAR and near[i, 3] >= bottom and near[i, 2] <= top:
                    order[active] = i
                    active += 1
            for column in range(size):
                votes[:] = 0
                total = np.zeros(3)
                for ray in range(rays):
                    u = -1 + step * (column * SAMPLES + ray % SAMPLES + 0.5)
                    v = 1 - step * (row * SAMPLES + ray // SAMPLES + 0.5)
                    for k in range(3):
                        direction[k] = axes[n, 2, k] + half_views[n] * (u * axes[n, 0, k] + v * axes[n, 1, k])
                    classes[ray], depth[ray] = _ray(
                        solids[n], order, near, active, u, numbers[n], colours[n], shades[n], suns[n], origins[n],
                        direction, colour, normal, a, b, p,
                    )  # fmt: skip
                    votes[classes[ray]] += 1
                    for k in range(3):
                        total[k] += min(1.0, max(0.0, colour[k]))
                        turned[ray, k] = (
                            axes[n, k, 0] * normal[0] + axes[n, k, 1] * normal[1] + axes[n, k, 2] * normal[2]
                        )
                winner = 0
                for k in range(1, _CLASSES):
                    if votes[k] >= votes[winner]:
                        winner = k
                masks[n, row, column] = winner
                share = 1.0 / votes[winner]
                mean = 0.0
                for k in range(3):
                    images[n, row, column, k] = int(255.0 * total[k] / rays + 0.5)
                    normals[n, row, column, k] = 0
                for ray in range(rays):
                    if classes[ray] == winner:
                        mean += share * depth[ray]
                        normals[n, row, column, 0] += share * turned[ray, 0]
                        normals[n, row, column, 1] += share * turned[ray, 1]
                        normals[n, row, column, 2] -= share * turned[ray, 2]
                depths[n, row, column] = mean
