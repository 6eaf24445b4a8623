"""Settings of the papers' four domains, as parts of a request, by name.

From HandsOff, appendix B.4 to B.6, and its released code: widths of the label generator for 50 labelled images, steps
and radius of the inversion, widths of keypoint Gaussians, and how images are brought to the generator's frame.
"""

from collections.abc import Mapping
from typing import Any, Literal

Domain = Literal["faces", "cars", "humans", "streets"]

DOMAINS: Mapping[str, Mapping[str, Any]] = {
    "faces": {
        "fit": "crop",
        "inversion": {"steps": 500, "constraint": "ball", "radius": 0.5},
        "labeler": {"hidden": [256, 32], "keypoint_size": "faces"},
    },
    # Images of 384 x 512 in the middle of the generator's 512 x 512.
    "cars": {
        "fit": "pad",
        "inversion": {"steps": 300, "constraint": "ball", "radius": 0.5},
        "labeler": {"hidden": [512, 256]},
    },
    # StyleGAN-Human draws people before white; images are resized to its 1024 x 512 whatever their shape.
    "humans": {
        "fit": "stretch",
        "background": "white",
        "inversion": {"steps": 2000, "constraint": "ball", "radius": 0.5},
        "labeler": {"hidden": [1024, 32], "keypoint_size": "bodies"},
    },
    "streets": {
        "fit": "crop",
        "inversion": {"steps": 500, "constraint": "ball", "radius": 0.5},
        "labeler": {"hidden": [512, 64]},
    },
}


def with_domain(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's fields with those of its ``preset`` where it does not state them itself, field by field within
    ``inversion`` and ``labeler``. An unknown preset is left for validation to refuse.
    """
    preset = request.get("preset")
    if not isinstance(preset, str) or preset not in DOMAINS:
        return dict(request)
    chosen = DOMAINS[preset]
    merged = {**chosen, **request}
    for name, own in chosen.items():
        given = request.get(name)
        if isinstance(own, Mapping) and isinstance(given, Mapping):
            merged[name] = {**own, **given}
    return merged
