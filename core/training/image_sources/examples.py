"""Choice of a few photographs that show how images of different shapes are brought to one size."""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.label_sets.reading.images import PictureError, decode_image, header_sizes
from core.run import Run
from core.training.images import SourceImage

MOST_LOOKED_AT = 2000


class Photograph(NamedTuple):
    """A decoded photograph: its name and uint8 [H, W, 3]."""

    name: str
    pixels: NDArray[np.uint8]


def choose_examples(images: Iterable[SourceImage], count: int, run: Run | None = None) -> list[Photograph]:
    """Return up to ``count`` readable photographs from the widest to the tallest: these two, the others at random.

    The first 2,000 images are looked at; memory holds the chosen ones. ``run.progress`` gets the number of images.
    """
    run = run or Run()
    random, chosen, looked = np.random.default_rng(run.seed), {}, 0
    extremes: dict[str, tuple[float, SourceImage]] = {}
    for number, one in enumerate(islice(images, MOST_LOOKED_AT)):
        run.stop_if_asked()
        run.progress(number + 1, number + 1)
        try:
            (height, width), _ = header_sizes(one.content)
        except PictureError:
            continue
        shape = width / height
        if "widest" not in extremes or shape > extremes["widest"][0]:
            extremes["widest"] = shape, one
        if "tallest" not in extremes or shape < extremes["tallest"][0]:
            extremes["tallest"] = shape, one
        place = looked if looked < count else int(random.integers(looked + 1))
        if place < count:
            chosen[place] = shape, one
        looked += 1
    found = {one.name: (shape, one) for shape, one in extremes.values()}
    for shape, one in chosen.values():
        if len(found) < count:
            found.setdefault(one.name, (shape, one))
    return _decoded([one for _, one in sorted(found.values(), key=lambda each: (-each[0], each[1].name))])


def _decoded(images: Iterable[SourceImage]) -> list[Photograph]:
    photographs = []
    for one in images:
        try:
            photographs.append(Photograph(one.name, decode_image(one.content).pixels))
        except PictureError:
            continue
    return photographs
