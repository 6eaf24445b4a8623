"""From parameters to solids: every part of a street is a prism, an ellipsoid or a frustum, turned about the vertical.

The street's frame, in metres: x to the right, y up from the ground, z ahead; the camera stands over z = 0 and the
road's middle passes x = curve · z². One row of `solids` is one part; a row whose class is negative is absent.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from testbed.streets.parameters import HOUSES, PEOPLE, SIDES, TREES, VEHICLES, Parameters

# Ids rise with rarity: where as many rays of a pixel meet one class as another, the rarer has it.
ROAD, BUILDING, SKY, VEGETATION, PAVEMENT, VEHICLE, POLE, PERSON, SIGN = range(9)
CLASS_NAMES = ("road", "building", "sky", "vegetation", "pavement", "vehicle", "pole", "person", "sign")

# Columns of a solid: shape, centre, half extents, turn about the vertical (cos, sin), share of the extent that is left
# at the top (1 straight, 0 a ridge or a tip), class, surface, colour, two numbers of the surface.
(SHAPE, CX, CY, CZ, RX, RY, RZ, COS, SIN, TOP, CLASS, SURFACE, RED, GREEN, BLUE, RULE_A, RULE_B) = range(17)
SOLID_FIELDS = 17

PRISM, ELLIPSOID, FRUSTUM = range(3)
"""A prism narrows along its z alone, a frustum (round) along x and z."""

PLAIN, FACADE, LEAVES, BODY, GLASS, FACE, LIGHTS = range(7)
"""How a surface is coloured; the numbers RULE_A and RULE_B: FACADE brightness of windows, their share of the wall.
LEAVES amplitude of the waves. BODY 1 where a band of windows runs round it, 1 where its front faces the camera. FACE 1
for a plate."""

SIGNS = np.array([-1.0, 1.0])
"""Of x, left and right."""
HOUSE_DEPTH = 5.0
"""Half of what a house measures across the street."""
_FACING = (0, 3)
"""Places of the vehicles that come toward the camera."""

Number = float | NDArray[np.float64]
"""One value for all streets, or one for each: float64 [N]."""
Add = Callable[..., None]


def build_solids(p: Parameters) -> NDArray[np.float64]:
    """Lay out the solids of N streets: float64 [N, S, SOLID_FIELDS]."""
    count = len(p["yaw"])
    rows: list[NDArray[np.float64]] = []

    def add(
        shape: int,
        centre: tuple[Number, Number, Number],
        half: tuple[Number, Number, Number],
        class_id: int,
        colour: NDArray[np.float64],
        present: NDArray[np.bool_],
        *,
        surface: int = PLAIN,
        turn: Number = 0.0,
        top: Number = 1.0,
        rule: tuple[Number, Number] = (0.0, 0.0),
    ) -> None:
        row = np.empty((count, SOLID_FIELDS))
        numbers = (shape, *centre, *half, np.cos(turn), np.sin(turn), top)
        for column, value in enumerate(numbers):
            row[:, column] = value
        row[:, CLASS] = np.where(present, class_id, -1)
        row[:, SURFACE] = surface
        row[:, RED : BLUE + 1] = colour
        row[:, RULE_A], row[:, RULE_B] = rule
        rows.append(row)

    for side in range(SIDES):
        _add_houses(add, p, side)
        _add_trees(add, p, side)
        _add_furniture(add, p, side)
    for place in range(VEHICLES):
        _add_vehicle(add, p, place)
    for place in range(PEOPLE):
        _add_person(add, p, place)
    return np.stack(rows, axis=1)


def road_x(p: Parameters, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """x of the road's middle at distances z: [N, ...]."""
    return _of_street(p["curve"], z) * np.square(z)


def road_turn(p: Parameters, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Direction of the road at distances z: [N, ...], as the angle that turns a solid's z along it."""
    return np.arctan(2 * _of_street(p["curve"], z) * z)


def _kerb(p: Parameters, side: Number, beyond: Number, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """x of places so far outside the road's edge, left (side -1) or right (1), at distances z: [N, ...]."""
    return road_x(p, z) + side * (_of_street(p["half_road"], z) + beyond)


def _of_street(numbers: NDArray[np.float64], like: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] → [N, 1, ...] with as many axes as the other has."""
    return numbers.reshape(-1, *(1,) * (like.ndim - 1))


def vehicle_places(p: Parameters) -> NDArray[np.float64]:
    """Where vehicles stand: x, z, turn, half width, height, half length: float64 [N, VEHICLES, 6]."""
    along, half = p["vehicle_place"], p["half_road"]
    z = np.stack([3 + 12 * along[:, 0], 3 + 12 * along[:, 1], 6 + 14 * along[:, 2], 7 + 18 * along[:, 3]], axis=1)
    across = np.stack([1.05 - half, half - 1.05, 0.42 * half, -0.42 * half], axis=1)  # right-hand traffic
    turn = np.deg2rad(p["vehicle_turn"]) + road_turn(p, z)
    kind = p["vehicle_kind"].astype(int)
    size = np.array([[0.9, 1.45, 2.1], [1.0, 2.1, 2.5], [1.2, 3.0, 4.6]])[kind]  # [N, VEHICLES, 3]
    return np.concatenate([np.stack([road_x(p, z) + across, z + size[..., 2], turn], axis=2), size], axis=2)


def person_places(p: Parameters) -> NDArray[np.float64]:
    """Where people stand: x, z, height: float64 [N, PEOPLE, 3]."""
    along, sway = p["person_place"], p["person_across"]
    z = np.stack([3.5 + 8 * along[:, 0], 3.5 + 8 * along[:, 1], 5 + 9 * along[:, 2]], axis=1)
    middle = 0.5 * p["pavement_width"][:, None]
    pavement = _kerb(p, SIGNS, middle * (1 + 0.7 * sway[:, :SIDES]), z[:, :SIDES])
    crossing = road_x(p, z[:, SIDES:]) + sway[:, SIDES:] * p["half_road"][:, None]
    return np.stack([np.concatenate([pavement, crossing], axis=1), z, p["person_height"]], axis=2)


def house_places(p: Parameters) -> NDArray[np.float64]:
    """Where the houses of both sides stand: x and z of the middle, height: float64 [N, SIDES, HOUSES, 3]."""
    step = p["house_length"] + np.maximum(0.0, p["house_gap"])
    z = (p["house_start"] + p["house_length"] / 2)[..., None] + step[..., None] * np.arange(HOUSES)
    beyond = p["pavement_width"][:, None] + p["setback"] + HOUSE_DEPTH
    x = _kerb(p, SIGNS[:, None], beyond[..., None], z)
    return np.stack([x, z, p["house_height"].reshape(z.shape)], axis=3)


def tree_places(p: Parameters) -> NDArray[np.float64]:
    """Where the trees of both sides stand: x, z: float64 [N, SIDES, TREES, 2]."""
    z = p["tree_start"][..., None] + p["tree_spacing"][..., None] * np.arange(TREES)
    x = _kerb(p, SIGNS[:, None], p["pavement_width"][:, None, None] - 0.2, z)
    return np.stack([x, z], axis=3)


def _add_houses(add: Add, p: Parameters, side: int) -> None:
    """A row of houses along the pavement, flat or with a ridge along the street."""
    always = np.ones(len(p["yaw"]), bool)
    length, window = p["house_length"][:, side], (p["window_tone"][:, side], p["window_share"][:, side])
    for i, (x, z, height) in enumerate(np.moveaxis(house_places(p)[:, side], (1, 2), (0, 1))):
        turn, colour = road_turn(p, z), p["house_colour"][:, side, i]
        add(PRISM, (x, height / 2, z), (HOUSE_DEPTH, height / 2, length / 2), BUILDING, colour, always,
            surface=FACADE, turn=turn, rule=window)  # fmt: skip
        rise = 1.4 + 1.2 * np.abs(p["roof"][:, side])
        roof = colour * (0.35 + 0.5 * p["roof_tone"][:, side, None])
        # A quarter turn, so that the prism narrows across the street.
        add(PRISM, (x, height + rise, z), (length / 2 + 0.3, rise, HOUSE_DEPTH + 0.5), BUILDING, roof,
            p["roof"][:, side] > 0, turn=turn + np.pi / 2, top=0.0)  # fmt: skip


def _add_trees(add: Add, p: Parameters, side: int) -> None:
    places, present, crown = tree_places(p)[:, side], p["trees"][:, side] > 0, p["crown"][:, side]
    height, width, leaf = p["tree_height"][:, side], p["tree_width"][:, side], p["leaf_colour"][:, side]
    bark = 0.25 * leaf + 0.12
    waves = (p["leaf_waves"][:, side], 0.0)
    for i in range(TREES):
        x, z = places[:, i, 0], places[:, i, 1]
        add(FRUSTUM, (x, 0.25 * height, z), (0.20, 0.25 * height, 0.20), VEGETATION, bark, present, top=0.7)
        for kind, shape, reach, middle in (
            (0, ELLIPSOID, 0.30, 0.68),
            (1, ELLIPSOID, 0.38, 0.60),
            (2, FRUSTUM, 0.42, 0.58),
        ):
            wide = width * (1.0, 0.62, 0.85)[kind]
            add(shape, (x, middle * height, z), (wide, reach * height, wide), VEGETATION, leaf,
                present & (crown == kind), surface=LEAVES, top=0.05, rule=waves)  # fmt: skip


def _add_furniture(add: Add, p: Parameters, side: int) -> None:
    """A street lamp that reaches over the road, and a sign on its pole."""
    grey = p["pole_tone"][:, None] * np.array([0.95, 1.0, 1.02])
    lit, inward = p["lamp"][:, side] > 0, -SIGNS[side]
    z, height = p["lamp_place"][:, side], p["lamp_height"][:, side]
    x = _kerb(p, SIGNS[side], 0.35, z)
    add(FRUSTUM, (x, height / 2, z), (0.13, height / 2, 0.13), POLE, grey, lit, top=0.7)
    add(PRISM, (x + inward * 0.75, height, z), (0.75, 0.08, 0.10), POLE, grey, lit)
    add(ELLIPSOID, (x + inward * 1.45, height - 0.06, z), (0.42, 0.16, 0.24), POLE, grey, lit)
    stands, kind = p["sign"][:, side] > 0, p["sign_kind"][:, side]
    z, height, size = p["sign_place"][:, side], p["sign_height"][:, side], p["sign_size"][:, side]
    x, colour = _kerb(p, SIGNS[side], 0.6, z), p["sign_colour"][:, side]
    add(FRUSTUM, (x, height / 2, z), (0.10, height / 2, 0.10), POLE, grey, stands)
    facing = z - 0.13
    add(ELLIPSOID, (x, height, facing), (size, size, 0.07), SIGN, colour, stands & (kind == 0), surface=FACE)
    add(PRISM, (x, height, facing), (0.85 * size, size, 0.05), SIGN, colour, stands & (kind == 1), surface=FACE,
        rule=(1.0, 0.0))  # fmt: skip
    add(PRISM, (x, height, facing), (0.62 * size, 1.25 * size, 0.16), SIGN, 0.35 * colour, stands & (kind == 2),
        surface=LIGHTS)  # fmt: skip


def _add_vehicle(add: Add, p: Parameters, place: int) -> None:
    """A car is a body, a narrowing cabin of glass and four wheels; vans and buses are one tall body with windows."""
    x, z, turn, half_width, height, half_length = np.moveaxis(vehicle_places(p)[:, place], 1, 0)
    present, car = p["vehicle"][:, place] > 0, p["vehicle_kind"][:, place] == 0
    colour = 0.04 + 0.92 * p["vehicle_colour"][:, place]
    low, windows = 0.32, np.where(car, 0.0, 1.0)
    body = np.where(car, 0.92, height)
    add(PRISM, (x, (low + body) / 2, z), (half_width, (body - low) / 2, half_length), VEHICLE, colour, present,
        surface=BODY, turn=turn, top=np.where(car, 0.94, 0.97), rule=(windows, float(place in _FACING)))  # fmt: skip
    add(PRISM, (x, (body + height) / 2, z), (0.84 * half_width, (height - body) / 2, 0.62 * half_length), VEHICLE,
        colour, present & car, surface=GLASS, turn=turn, top=0.62)  # fmt: skip
    rubber = np.full((len(x), 3), 0.06)
    for across in (-1.0, 1.0):
        for ahead in (-0.62, 0.62):
            u, v = across * 0.9 * half_width, ahead * half_length
            wheel = (x + np.cos(turn) * u + np.sin(turn) * v, 0.36, z - np.sin(turn) * u + np.cos(turn) * v)
            add(ELLIPSOID, wheel, (0.18, 0.36, 0.36), VEHICLE, rubber, present, turn=turn)


def _add_person(add: Add, p: Parameters, place: int) -> None:
    """Legs, a coat and a head."""
    x, z, height = np.moveaxis(person_places(p)[:, place], 1, 0)
    present = p["person"][:, place] > 0
    coat, skin = p["person_colour"][:, place], p["skin_colour"][:, place]
    trousers = np.clip(coat * p["person_trousers"][:, place, None], 0, 1)
    for step in (-1.0, 1.0):
        add(FRUSTUM, (x + 0.12 * step, 0.25 * height, z + 0.1 * step), (0.09, 0.25 * height, 0.11), PERSON, trousers,
            present, top=1.4)  # fmt: skip
    add(ELLIPSOID, (x, 0.64 * height, z), (0.33, 0.22 * height, 0.22), PERSON, coat, present)
    add(ELLIPSOID, (x, 0.92 * height, z), (0.13, 0.085 * height, 0.14), PERSON, skin, present)
