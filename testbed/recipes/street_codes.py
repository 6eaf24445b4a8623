"""A street's parameters as a code that a style-based generator can read: the teacher's language of streets64.

What stands where is given in the picture (places of vehicles, people, trees, signs, lamps, corners of houses and edges
of the road, zero where nothing stands), kinds are one-hot, colours as they look under the light, and a thumbnail tells
colours and nearness. Only the recipe reads these codes; encoder, inversion and labeler never do.
"""

import numpy as np
from numpy.typing import NDArray

from testbed.recipes.reader import THUMBNAIL, thumbnails
from testbed.streets import draw_latents, street_parameters
from testbed.streets.parameters import CROWN_KINDS, HOUSES, SIGN_KINDS, VEHICLE_KINDS, Parameters
from testbed.streets.render import projected, render
from testbed.streets.scene import HOUSE_DEPTH, SIGNS, house_places, person_places, road_x, tree_places, vehicle_places

_EDGES = (3.0, 6.0, 12.0, 25.0, 60.0)
"""Distances at which the edges of road and pavement are told, metres."""
_COLOURS = ("road", "pavement", "lawn", "zenith", "horizon", "hill", "leaf", "house", "vehicle", "person", "sign")


def shaped_street_codes(latents: NDArray[np.float32], p: Parameters) -> NDArray[np.float32]:
    """Codes float32 [N, size] of streets given by their latents and parameters."""
    bright = p["daylight"][:, None] * p["sun_strength"][:, None] * (0.55 + 0.8 * p["light_colour"])
    dim = p["daylight"][:, None] * (p["ambient"][:, None] * (0.7 + 0.6 * p["ambient_colour"]) + 0.15)
    angles = np.deg2rad(np.stack([p["sun_azimuth"], 4 * p["yaw"], 4 * p["pitch"], 4 * p["roll"]], axis=1))
    colours = [3 * p[f"{name}_colour"] - 1.5 for name in _COLOURS]
    lit = [2 * p[f"{name}_colour"].reshape(len(latents), -1, 3) * dim[:, None] - 1 for name in _COLOURS]
    parts: list[NDArray[np.floating]] = [
        latents, 2 * bright, 2 * dim, np.sin(angles), np.cos(angles), *colours, *lit,
        _edges(p), _houses(p), *_things(p), _kinds(p["marks"], 3), _kinds(p["hill"], 2), _thumbnails(p),
    ]  # fmt: skip
    return np.concatenate([np.reshape(part, (len(latents), -1)) for part in parts], axis=1).astype(np.float32)


def _kinds(kind: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    hot: NDArray[np.float64] = np.eye(count)[kind.astype(int)]
    return hot


def _in_picture(p: Parameters, *xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [N, K] in three coordinates → [N, K, 3]: place in the picture within ±2, and nearness."""
    seen = projected(p, np.stack(np.broadcast_arrays(*xyz), axis=2))
    return np.concatenate([2 * np.clip(seen[..., :2], -2, 2), 8 / (2 + seen[..., 2:])], axis=2)


def _edges(p: Parameters) -> NDArray[np.float64]:
    """The edges of road and pavement, left and right, at some distances."""
    z = np.tile(np.array(_EDGES), (len(p["yaw"]), 1))
    reach = (p["half_road"], p["half_road"] + p["pavement_width"])
    lines = [
        _in_picture(p, road_x(p, z) + side * one[:, None], 0.0 * z, z)[..., :2] for one in reach for side in (-1, 1)
    ]
    return np.concatenate(lines, axis=1)


def _houses(p: Parameters) -> NDArray[np.float64]:
    """The corners of every front toward the street, at the foot and at the eaves."""
    x, z, height = np.moveaxis(house_places(p).reshape(len(p["yaw"]), -1, 3), 2, 0)
    outward = np.repeat(SIGNS, HOUSES)
    half = np.repeat(p["house_length"], HOUSES, axis=1) / 2
    front = x - outward * HOUSE_DEPTH
    return np.concatenate(
        [_in_picture(p, front, up * height, z + end * half) for end in (-1, 1) for up in (0.0, 1.0)], axis=1
    )


def _things(p: Parameters) -> list[NDArray[np.float64]]:
    """Where each thing stands, what it is and its colour, all zero where nothing stands."""
    count = len(p["yaw"])

    def thing(
        present: NDArray[np.float64],
        x: NDArray[np.float64],
        height: NDArray[np.float64],
        z: NDArray[np.float64],
        *more: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        parts = [present[..., None], _in_picture(p, x, 0.0 * x, z), _in_picture(p, x, height, z), *more]
        return np.asarray(present[..., None] * np.concatenate(parts, axis=2))

    x, z, turn, _, height, half = np.moveaxis(vehicle_places(p), 2, 0)
    pose = np.stack([3 * np.sin(2 * turn), 0.3 * half], axis=2)
    kind, colour = _kinds(p["vehicle_kind"], len(VEHICLE_KINDS)), 3 * p["vehicle_colour"] - 1.5
    vehicles = thing(p["vehicle"], x, height, z - half, pose, kind, colour)
    x, z, height = np.moveaxis(person_places(p), 2, 0)
    people = thing(p["person"], x, height, z, 3 * p["person_colour"] - 1.5)
    trees = tree_places(p).reshape(count, -1, 2)
    each = trees.shape[1] // 2
    present, height, width = (np.repeat(p[name], each, axis=1) for name in ("trees", "tree_height", "tree_width"))
    crown = np.repeat(_kinds(p["crown"], len(CROWN_KINDS)), each, axis=1)
    leaf = np.repeat(3 * p["leaf_colour"] - 1.5, each, axis=1)
    wood = thing(present, trees[..., 0], height, trees[..., 1], width[..., None], crown, leaf)
    edge = SIGNS * (p["half_road"][:, None] + 0.6)
    z = p["sign_place"]
    signs = thing(p["sign"], road_x(p, z) + edge, p["sign_height"], z, 3 * p["sign_size"][..., None],
                  _kinds(p["sign_kind"], len(SIGN_KINDS)), 3 * p["sign_colour"] - 1.5)  # fmt: skip
    z = p["lamp_place"]
    lamps = thing(p["lamp"], road_x(p, z) + edge, p["lamp_height"], z)
    return [vehicles, people, wood, signs, lamps]


def _thumbnails(p: Parameters) -> NDArray[np.float32]:
    """Colours and nearness, each in [-1, 1]: [N, 4 · THUMBNAIL²]."""
    seen = render(p, 2 * THUMBNAIL)
    near = np.where(seen.depth > 0, 4 / (2 + seen.depth), 0) - 1
    return thumbnails(np.concatenate([seen.images / np.float32(127.5) - 1, near[..., None].astype(np.float32)], axis=3))


def street_code_size() -> int:
    """Numbers in a code, by making one."""
    latents = draw_latents(0, 0, 1)
    return int(shaped_street_codes(latents, street_parameters(latents)).shape[1])
