"""A head's parameters as a code that a style-based generator can read: the teacher's language of the heads64 recipe.

Raw parameters with kinds cut from one latent are a hard code (a prototype drew no faces from them). Here kinds are
one-hot, angles are sines and cosines, the places of eyes, nose and mouth and the outlines of hair and hats are given in
the picture, colours as they look under the light, and a thumbnail of 8×8 pixels says what no list of numbers says well:
what lies where. Only the recipe reads these codes; encoder, inversion and labeler never do.
"""

import numpy as np
from numpy.typing import NDArray

from testbed.recipes.reader import THUMBNAIL, thumbnails
from testbed.world.hints import projected_keypoints, projected_outlines
from testbed.world.parameters import GLASSES_STYLES, HAIR_STYLES, HAT_STYLES, LATENT_COUNT, Parameters
from testbed.world.render import render

_COLOURS = ("skin", "hair", "brow", "lip", "eye_white", "iris", "cloth", *(f"wall_{place}" for place in range(9)))


def shaped_codes(latents: NDArray[np.float32], p: Parameters) -> NDArray[np.float32]:
    """Codes float32 [N, CODE_SIZE] of heads given by their latents and parameters."""

    def one_hot(kind: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        hot: NDArray[np.float64] = np.eye(count)[kind.astype(int)]
        return hot

    angles = np.deg2rad(np.stack([p["yaw"], p["pitch"], p["roll"]], axis=1))
    azimuth, elevation = np.deg2rad(p["light_azimuth"]), np.deg2rad(p["light_elevation"])
    light = np.stack([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], 1)
    bright = p["light_strength"][:, None] * (0.45 + 0.95 * p["light_colour"])
    dim = p["light_ambient"][:, None] * (0.6 + 0.8 * p["ambient_colour"])
    colours = [p[f"{name}_colour"] for name in _COLOURS]
    lit = [p[f"{name}_colour"] * shine for name in ("skin", "hair", "cloth") for shine in (bright, dim)]
    hat = (p["hat"] > 0)[:, None]
    occluder = np.stack([p["occluder_x"], p["occluder_y"], p["occluder_size"]], axis=1) * p["occluder"][:, None]
    points = projected_keypoints(p, 2).reshape(len(latents), -1) - 1.0  # about [-1, 1]
    parts: list[NDArray[np.floating]] = [
        latents, one_hot(p["hair_style"], len(HAIR_STYLES)), one_hot(p["glasses"], 1 + len(GLASSES_STYLES)),
        one_hot(p["hat"], 1 + len(HAT_STYLES)), p["occluder"][:, None], 3 * np.sin(angles), 3 * np.cos(angles) - 3,
        4 * points, 2 * light, 2 * bright, 2 * dim, *(3 * c - 1.5 for c in colours), *(3 * c for c in lit),
        hat * (3 * p["hat_colour"] - 1.5), hat * (3 * p["hat_colour"] * bright), 3 * occluder,
        p["occluder"][:, None] * (3 * p["occluder_colour"] - 1.5), _thumbnails(p),
        3 * projected_outlines(p).reshape(len(latents), -1),
    ]  # fmt: skip
    return np.concatenate(parts, axis=1).astype(np.float32)


def _thumbnails(p: Parameters) -> NDArray[np.float32]:
    """Colours and coverage by the head, each in [-1, 1]: [N, 4 · THUMBNAIL²], rows first."""
    seen = render(p, 2 * THUMBNAIL)
    colours, covered = seen.images / np.float32(127.5) - 1, 2 * (seen.depth > 0).astype(np.float32) - 1
    planes = np.concatenate([colours, covered[..., None]], axis=3)
    return thumbnails(planes)


_OUTLINES = 5 * 10
_COLOUR_NUMBERS = 3 * (len(_COLOURS) + 6 + 4)
CODE_SIZE = LATENT_COUNT + 7 + 4 + 4 + 1 + 6 + 34 + 3 + 6 + _COLOUR_NUMBERS + 4 * THUMBNAIL**2 + _OUTLINES
