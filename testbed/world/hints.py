"""What a picture only hints at, for those who teach a generator: places without rendering, textures without light."""

import numpy as np
from numpy.typing import NDArray

from testbed.world import scene as s
from testbed.world.camera import CAMERA_DISTANCE, VIEW, pixel_centres, project, rotations
from testbed.world.casting import strand_phase
from testbed.world.parameters import Parameters
from testbed.world.render import Rendering
from testbed.world.scene import CLASS_NAMES, build_scene


def projected_keypoints(parameters: Parameters, size: int = 64) -> NDArray[np.float32]:
    """Keypoints in pixels without rendering: float32 [N, K, 2]."""
    world = build_scene(parameters)
    return project(world.keypoints, rotations(parameters), parameters, size)[..., :2].astype(np.float32)


def projected_outlines(parameters: Parameters) -> NDArray[np.float32]:
    """Where hair and hats are, each solid an ellipse in the picture: float32 [N, S, 5].

    Centre x and y, half its width and height, and how far it leans (the correlation of x and y), in halves of the
    picture from its middle, y upward; all zero where the solid is absent.
    """
    solids = build_scene(parameters).solids
    solids = solids[:, np.isin(solids[0, :, s.SURFACE], (s.HAIR_CAP, s.HAIR_SURFACE, s.HAT_DOME, s.HAT_BRIM))]
    turns, zoom = rotations(parameters), parameters["zoom"][:, None]
    centres = project(solids[..., s.CX : s.CZ + 1], turns, parameters, 2)[..., :2] * (1, -1) + (-1, 1)
    cos, sin, still = solids[..., s.COS], solids[..., s.SIN], np.zeros(solids.shape[:2])
    axes = np.stack([cos, -sin, still, sin, cos, still, still, still, still + 1], axis=-1)
    axes = axes.reshape(*solids.shape[:2], 3, 3) * solids[..., None, s.RX : s.RZ + 1]  # columns: the half axes
    seen = np.einsum("nij,nsjk->nsik", turns, axes)[:, :, :2] * (zoom / VIEW)[..., None, None]
    spread = seen @ seen.swapaxes(2, 3)
    wide, high = np.sqrt(spread[..., 0, 0]), np.sqrt(spread[..., 1, 1])
    numbers = [centres, wide[..., None], high[..., None], (spread[..., 0, 1] / (wide * high))[..., None]]
    present = solids[..., s.CLASS, None] >= 0
    return np.where(present, np.concatenate(numbers, axis=2), 0.0).astype(np.float32)


def strands(parameters: Parameters, seen: Rendering) -> NDArray[np.float32]:
    """Stripes of hair as if all hair were striped alike: float32 [3, N, S, S] in [-1, 1], 0 where no hair is seen.

    As they are, and sine and cosine of stripes three times as wide, which are learnt sooner.
    """
    turns, size = rotations(parameters), seen.masks.shape[1]
    zoom, shift_x, shift_y = (parameters[name][:, None, None] for name in ("zoom", "shift_x", "shift_y"))
    across, up = pixel_centres(size)
    # From the camera's frame back into the head's; depth is told in units of the picture, the ray's in the head's.
    point = np.stack(np.broadcast_arrays(across - shift_x, up - shift_y, CAMERA_DISTANCE - seen.depth)) / zoom
    x, y = (np.einsum("ni,inrc->nrc", turns[:, :, axis], point) for axis in (0, 1))
    phase = strand_phase(x, y)
    waves = np.stack([np.sin(phase), np.sin(phase / 3), np.cos(phase / 3)])
    return np.where(seen.masks == CLASS_NAMES.index("hair"), waves, 0.0).astype(np.float32)


def ball(parameters: Parameters, size: int = 64) -> NDArray[np.bool_]:
    """Where a ball hangs before everything else: [N, size, size]."""
    across, up = pixel_centres(size)
    x, y, radius, there = (
        parameters[name][:, None, None] for name in ("occluder_x", "occluder_y", "occluder_size", "occluder")
    )
    inside: NDArray[np.bool_] = (there > 0) & ((across - x) ** 2 + (up - y) ** 2 < radius**2)
    return inside
