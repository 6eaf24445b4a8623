"""Three-dimensional streets with exact masks and depth.

A street is a point of a Gaussian cube: a standard normal vector (`parameters.draw_latents`) becomes named parameters
(`parameters`), those become boxes, ellipsoids and cones along a curved road (`scene`), and rays through them
(`casting`) become an image with its truth (`render`).
"""

from testbed.streets.parameters import LATENT_COUNT, StreetSettings, draw_latents, street_parameters
from testbed.streets.render import Rendering, render
from testbed.streets.scene import CLASS_NAMES

__all__ = [
    "CLASS_NAMES",
    "LATENT_COUNT",
    "Rendering",
    "StreetSettings",
    "draw_latents",
    "render",
    "street_parameters",
]
