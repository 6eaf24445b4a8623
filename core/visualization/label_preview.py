"""What was understood of labelled images, as a picture: the label over the image for the first of them."""

import numpy as np

from core.label_sets.label_set import LabelItem, LabelSet
from core.visualization.canvas import with_points
from core.visualization.contact_sheets import SheetCell, contact_sheet

MOST = 12
_LONGEST_SIDE = 512
_SEEN, _HIDDEN = (255, 60, 60), (60, 120, 255)


def label_preview(label_set: LabelSet) -> bytes:
    """PNG: image and label over image of the first twelve, with the format that was found. Keypoints are rings, red
    where they are visible and blue where they are hidden.
    """
    cells = [_cell(item) for item in label_set.items[:MOST]]
    count = len(label_set.items)
    subtitle = f"The first {len(cells)} of {count} labelled images, read as: {label_set.detected_format}."
    title = f"{count} labelled image{'s' * (count != 1)}"
    return contact_sheet([("As they were read", cells)], label_set.classes, title, subtitle)


def _cell(item: LabelItem) -> SheetCell:
    step = max(1, -(-max(item.size) // _LONGEST_SIDE))  # every so many pixels: nothing mixes, ids least of all
    image, mask = np.ascontiguousarray(item.image[::step, ::step]), item.mask[::step, ::step]
    if item.keypoints is not None:
        image = with_points(image, item.keypoints, step, _SEEN, _HIDDEN)
    return SheetCell(image, mask, None, item.name)
