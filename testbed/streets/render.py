"""From parameters to pictures: image, mask and depth of streets, exact by construction.

Perspective camera; nearest hit of a ray with the street's solids, its ground and a backdrop; Lambert shading with sun
and sky, haze, and soft shadows on the ground (ellipses, not traced). Each pixel averages the colours of 2 × 2 rays and
takes the class that most of them meet; depth and normals are those of the rays that met this class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.streets import casting
from testbed.streets.parameters import Parameters
from testbed.streets.scene import Number, build_solids, person_places, tree_places, vehicle_places


@dataclass(frozen=True)
class Rendering:
    """N streets with their truth.

    Attributes:
        images: uint8 [N, S, S, 3], sRGB.
        masks: uint8 [N, S, S], ids of `CLASS_NAMES`.
        depth: float32 [N, S, S], metres along the camera's axis; 0 in the sky.
        normals: float32 [N, S, S, 3], mean of the surface's unit normals in the camera's frame (right, up, toward it);
            0 in the sky.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    depth: NDArray[np.float32]
    normals: NDArray[np.float32]


def render(parameters: Parameters, size: int = 64) -> Rendering:
    """Render streets.

    Args:
        parameters: of `street_parameters`.
        size: picture edge in pixels.
    """
    count = len(parameters["yaw"])
    images = np.empty((count, size, size, 3), np.uint8)
    masks = np.empty((count, size, size), np.uint8)
    depth = np.empty((count, size, size), np.float32)
    normals = np.empty((count, size, size, 3), np.float32)
    sun = _sun(parameters)
    casting.cast(
        build_solids(parameters), _shades(parameters, sun), _numbers(parameters), _colours(parameters), sun,
        _origin(parameters), _axes(parameters), parameters["half_view"], images, masks, depth, normals,
    )  # fmt: skip
    return Rendering(images, masks, depth, normals)


def projected(parameters: Parameters, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where points of the street lie in the picture, without rendering.

    points: [N, K, 3], the street's frame. Returns [N, K, 3]: u to the right and v up, -1 to 1 within the picture, and
    depth in metres; what lies nearer than a metre or behind the camera is taken to be a metre away.
    """
    seen = np.einsum("nij,nkj->nki", _axes(parameters), points - _origin(parameters)[:, None])
    depth = np.maximum(seen[..., 2:], 1.0)
    return np.concatenate([seen[..., :2] / (depth * parameters["half_view"][:, None, None]), depth], axis=2)


def _axes(p: Parameters) -> NDArray[np.float64]:
    """The camera's right, up and ahead as rows: [N, 3, 3]."""
    yaw, pitch, roll = (np.deg2rad(p[name]) for name in ("yaw", "pitch", "roll"))
    ahead = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=1)
    right = np.stack([np.cos(yaw), np.zeros_like(yaw), -np.sin(yaw)], axis=1)
    up = np.cross(ahead, right)
    turn, tilt = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([turn * right + tilt * up, turn * up - tilt * right, ahead], axis=1)


def _origin(p: Parameters) -> NDArray[np.float64]:
    return np.stack([p["camera_x"] * p["half_road"], p["camera_height"], np.zeros_like(p["yaw"])], axis=1)


def _sun(p: Parameters) -> NDArray[np.float64]:
    """Unit vector toward the sun: [N, 3]."""
    azimuth, elevation = np.deg2rad(p["sun_azimuth"]), np.deg2rad(p["sun_elevation"])
    level = np.cos(elevation)
    return np.stack([np.sin(azimuth) * level, np.sin(elevation), np.cos(azimuth) * level], axis=1)


def _numbers(p: Parameters) -> NDArray[np.float64]:
    """In the order of the columns that `casting` names."""
    names = (
        "curve", "half_road", "pavement_width", "marks", "mark_phase", "mark_contrast", "zebra", "hill", "hill_height",
        "hill_phase", "cloud", "cloud_phase",
    )  # fmt: skip
    haze = 0.0015 + 0.03 * p["haze"] ** 3
    return np.stack([*(p[name] for name in names), haze, p["daylight"]], axis=1)


def _colours(p: Parameters) -> NDArray[np.float64]:
    """In the order of the rows that `casting` names: [N, 8, 3]."""
    names = ("road", "pavement", "lawn", "zenith", "horizon", "hill")
    sun = p["sun_strength"][:, None] * (0.55 + 0.8 * p["light_colour"])
    ambient = p["ambient"][:, None] * (0.7 + 0.6 * p["ambient_colour"]) + 0.15
    return np.stack([*(p[f"{name}_colour"] for name in names), sun, ambient], axis=1)


def _shades(p: Parameters, sun: NDArray[np.float64]) -> NDArray[np.float64]:
    """Soft shadows of vehicles, people and trees: ellipses, moved away from the sun by half of the thing's height."""
    away = -sun[:, [0, 2]] / sun[:, 1:2]  # metres on the ground for each metre of height
    rows: list[NDArray[np.float64]] = []

    def add(
        x: NDArray[np.float64],
        z: NDArray[np.float64],
        turn: Number,
        half_width: Number,
        half_length: Number,
        middle: NDArray[np.float64],
        strength: NDArray[np.float64],
    ) -> None:
        x, z = x + away[:, 0] * middle, z + away[:, 1] * middle
        columns = (x, z, np.cos(turn), np.sin(turn), half_width, half_length, strength)
        rows.append(np.stack(np.broadcast_arrays(*columns), axis=1))

    for place, one in enumerate(np.moveaxis(vehicle_places(p), 1, 0)):
        x, z, turn, half_width, height, half_length = one.T
        dark = p["vehicle"][:, place] * np.maximum(0.45, p["shadow"])
        add(x, z, turn, 1.25 * half_width, 1.15 * half_length, 0.15 * height, dark)
    for place, one in enumerate(np.moveaxis(person_places(p), 1, 0)):
        x, z, height = one.T
        add(x, z, 0.0, 0.5, 0.5, 0.2 * height, p["person"][:, place] * np.maximum(0.4, p["shadow"]))
    trees = tree_places(p)
    for side in range(trees.shape[1]):
        wide = 1.2 * p["tree_width"][:, side]
        for i in range(trees.shape[2]):
            x, z = trees[:, side, i].T
            add(x, z, 0.0, wide, wide, 0.6 * p["tree_height"][:, side], p["trees"][:, side] * p["shadow"])
    return np.stack(rows, axis=1)
