"""Facts of images that decide whether a generator can be trained on them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFacts:
    """An image set: pixels, numbers of images, classes with their numbers of images, and whether it may be mirrored."""

    height: int
    width: int
    training: int
    held_out: int
    classes: Mapping[str, int]
    flips: bool
