"""Decision whether a training may mirror images left to right."""

import re
from collections.abc import Iterable

_SIDES = re.compile(r"(?<![a-z])(left|right)(?![a-z])")
ASYMMETRIC = 0.1
"""Asymmetry of the mean image (:attr:`core.training.images.PackReport.asymmetry`) from which a report warns."""


def choose_flips(asked: bool | None, classes: Iterable[str]) -> tuple[bool, str]:
    """Return whether images may be mirrored, and the reason. asked: None to decide by the names of the classes."""
    if asked is not None:
        return asked, "set by the request"
    sided = [name for name in classes if _SIDES.search(name.lower().replace("_", " "))]
    if sided:
        return False, f"the name of class {sided[0]!r} has the word left or right"
    return True, "no name of a class has the word left or right"


def flip_warnings(flips: bool, asked: bool | None, asymmetry: float) -> list[str]:
    """Return a warning where images may be mirrored by default and their mean image is not symmetric."""
    if not flips or asked is not None or asymmetry < ASYMMETRIC:
        return []
    return [
        f"the mean image differs from its mirror image by {asymmetry:.0%} of an image's contrast; where left and right "
        "differ (organs, text, traffic), add the images without flips"
    ]
