"""Three-dimensional heads with exact masks, keypoints and depth.

A head is a point of a Gaussian cube: a standard normal vector (`latents`) becomes named parameters (`parameters`),
those become ellipsoids and thin plates (`scene`), and rays through them (`casting`), seen by a `camera`, become an
image with its truth (`render`). `hints` tells those who teach a generator more.
"""

from testbed.world.latents import draw_latents
from testbed.world.parameters import LATENT_COUNT, WorldSettings, head_parameters
from testbed.world.render import CLASS_NAMES, KEYPOINT_NAMES, Rendering, render

__all__ = [
    "CLASS_NAMES",
    "KEYPOINT_NAMES",
    "LATENT_COUNT",
    "Rendering",
    "WorldSettings",
    "draw_latents",
    "head_parameters",
    "render",
]
