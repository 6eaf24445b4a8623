"""Where a point of a head lies in the picture: an orthographic camera that looks along -z.

A head turns about y, then x, then z, and is shifted in the picture; lengths are in head units.
"""

import numpy as np
from numpy.typing import NDArray

from testbed.world.parameters import Parameters

VIEW = 0.80
"""Half the width of the picture."""
CAMERA_DISTANCE = 3.0


def rotations(p: Parameters) -> NDArray[np.float64]:
    """From the head's frame into the camera's: [N, 3, 3]."""
    yaw, pitch, roll = (np.deg2rad(p[name]) for name in ("yaw", "pitch", "roll"))
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def matrix(*rows: tuple[object, object, object]) -> NDArray[np.float64]:
        return np.stack([np.stack([np.asarray(v) for v in row], axis=-1) for row in rows], axis=-2)

    about_y = matrix((np.cos(yaw), zero, np.sin(yaw)), (zero, one, zero), (-np.sin(yaw), zero, np.cos(yaw)))
    about_x = matrix((one, zero, zero), (zero, np.cos(pitch), -np.sin(pitch)), (zero, np.sin(pitch), np.cos(pitch)))
    about_z = matrix((np.cos(roll), -np.sin(roll), zero), (np.sin(roll), np.cos(roll), zero), (zero, zero, one))
    return about_z @ about_x @ about_y


def project(points: NDArray[np.float64], turns: NDArray[np.float64], p: Parameters, size: int) -> NDArray[np.float64]:
    """Head-frame points → x and y in pixels and distance from the camera: [N, K, 3]."""
    seen = p["zoom"][:, None, None] * np.einsum("nij,nkj->nki", turns, points)
    x = (seen[..., 0] + p["shift_x"][:, None]) / VIEW
    y = (seen[..., 1] + p["shift_y"][:, None]) / VIEW
    return np.stack([(x + 1) * size / 2, (1 - y) * size / 2, CAMERA_DISTANCE - seen[..., 2]], axis=-1)


def pixel_centres(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of a picture, in head units: x [1, size] and y [size, 1], upward."""
    along = ((np.arange(size) + 0.5) / size * 2 - 1) * VIEW
    return along[None, :], -along[:, None]
