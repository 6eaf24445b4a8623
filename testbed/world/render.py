"""Heads and their truth: image, mask, keypoints and depth, exact by construction.

Each pixel averages the colours of several rays and takes the class that most of them hit (`casting`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.world.camera import project, rotations
from testbed.world.casting import cast
from testbed.world.parameters import Parameters
from testbed.world.scene import CLASS_NAMES, KEYPOINT_NAMES, build_scene

__all__ = ["CLASS_NAMES", "KEYPOINT_NAMES", "Rendering", "render"]


@dataclass(frozen=True)
class Rendering:
    """N heads with their truth.

    Attributes:
        images: uint8 [N, S, S, 3], sRGB.
        masks: uint8 [N, S, S], ids of `CLASS_NAMES`.
        keypoints: float32 [N, K, 2], x and y in pixels (the centre of the first pixel is 0.5); may lie outside.
        visible: bool [N, K], inside the picture and not hidden.
        depth: float32 [N, S, S], distance from the camera in head units; 0 where there is no head.
        normals: float32 [N, S, S, 3], mean of the surface's unit normals in the camera's frame; 0 where nothing is.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    visible: NDArray[np.bool_]
    depth: NDArray[np.float32]
    normals: NDArray[np.float32]


def render(parameters: Parameters, size: int = 64, convention: str = "a") -> Rendering:
    """Render heads.

    Args:
        parameters: of `head_parameters`.
        size: picture edge in pixels.
        convention: how labellers draw the line. "a": the neck is skin and the nose runs up to its bridge.
            "b": the neck is background and only the tip of the nose is nose, the bridge is skin.

    Raises:
        ValueError: the convention is unknown.
    """
    if convention not in ("a", "b"):
        raise ValueError(f"convention must be 'a' or 'b', got {convention!r}")
    world = build_scene(parameters)
    turns = rotations(parameters)  # [N, 3, 3]
    keypoints = project(world.keypoints, turns, parameters, size)  # [N, K, 3]: x, y in pixels, depth
    count = len(turns)
    images = np.empty((count, size, size, 3), np.uint8)
    masks = np.empty((count, size, size), np.uint8)
    depth = np.empty((count, size, size), np.float32)
    normals = np.zeros((count, size, size, 3), np.float32)
    cast(
        world.solids, world.glasses, turns, _camera(parameters), _light(parameters), _surface_numbers(parameters),
        _wall(parameters), convention == "b", images, masks, depth, normals,
    )  # fmt: skip
    visible = _visible(keypoints, depth, size)
    return Rendering(images, masks, keypoints[..., :2].astype(np.float32), visible, depth, normals)


def _visible(keypoints: NDArray[np.float64], depth: NDArray[np.float32], size: int) -> NDArray[np.bool_]:
    """Inside the picture, and nothing more than a tenth of a head in front of it."""
    column, row = np.floor(keypoints[..., 0]).astype(int), np.floor(keypoints[..., 1]).astype(int)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    column, row = np.clip(column, 0, size - 1), np.clip(row, 0, size - 1)
    surface = depth[np.arange(len(depth))[:, None], row, column]
    visible: NDArray[np.bool_] = inside & ((surface == 0) | (keypoints[..., 2] < surface + 0.1))
    return visible


def _camera(p: Parameters) -> NDArray[np.float64]:
    return np.stack([p["zoom"], p["shift_x"], p["shift_y"]], axis=1)


def _light(p: Parameters) -> NDArray[np.float64]:
    """Direction toward the light (camera frame), colour of the light, colour of the ambient light: [N, 9]."""
    azimuth, elevation = np.deg2rad(p["light_azimuth"]), np.deg2rad(p["light_elevation"])
    direction = np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], axis=1
    )
    light = p["light_strength"][:, None] * (0.45 + 0.95 * p["light_colour"])
    ambient = p["light_ambient"][:, None] * (0.6 + 0.8 * p["ambient_colour"])
    return np.concatenate([direction, light, ambient], axis=1)


def _surface_numbers(p: Parameters) -> NDArray[np.float64]:
    """[N, 9]: blush, hair stripes, hat stripes, iris colour, lens colour."""
    rest = np.stack([p["blush"], p["hair_stripes"], p["hat_stripes"]], axis=1)
    return np.concatenate([rest, p["iris_colour"], 0.25 * p["dye_colour"]], axis=1)


def _wall(p: Parameters) -> NDArray[np.float64]:
    """[N, 3, 3, 3]: rows from above, columns from the left, colour."""
    return np.stack([p[f"wall_{place}_colour"] for place in range(9)], axis=1).reshape(-1, 3, 3, 3)
