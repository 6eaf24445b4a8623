"""What is wrong with a label, as a small picture: image | label over image, what belongs to no class in red."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.label_sets.classes import ClassMap
from core.label_sets.palette import colours
from core.visualization import canvas

#: Longer side of each of the two panels, in pixels.
SIDE = 160
_WRONG = (255, 0, 0)
_GAP = 4


def problem_picture(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
    classes: ClassMap | None,
    points: NDArray[np.float32] | None = None,
) -> bytes:
    """PNG. ``image``: uint8 [H, W, 3]; ``mask``: uint8 ids of any size, where one could be read: one that does not fit
    its image is shown by itself; ``points``: float32 [K, 3] as (x, y, visibility) of those that lie inside.
    """
    step = max(1, max(image.shape[:2]) // SIDE)
    shown = np.ascontiguousarray(image[::step, ::step])
    label = shown if mask is None else _label(shown, mask, step, classes, mask.shape == image.shape[:2])
    if points is not None:
        label = canvas.with_points(label, points, step, _WRONG, _WRONG)
    panels = [canvas.fitted(one, SIDE) for one in (shown, label)]
    whole = Image.new("RGB", (sum(one.width for one in panels) + _GAP, max(one.height for one in panels)), "white")
    whole.paste(panels[0], (0, 0))
    whole.paste(panels[1], (panels[0].width + _GAP, 0))
    return canvas.png(whole)


def _label(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], step: int, classes: ClassMap | None, fits: bool
) -> NDArray[np.uint8]:
    ids = mask[::step, ::step]
    known = ClassMap({one: str(one) for one in range(255)}) if classes is None else classes
    table = colours(known)
    drawn = canvas.overlay(image, ids, table) if fits else table[ids]
    if classes is not None:
        drawn[~np.isin(ids, [*classes.ids, classes.ignore_index])] = _WRONG
    return np.asarray(drawn, np.uint8)
