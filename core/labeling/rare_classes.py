"""Classes that a labeler can hardly have learnt: few labelled images show them, or images that it has not seen are
labelled wrongly.
"""

from collections.abc import Mapping

from core.label_sets.classes import ClassMap
from core.label_sets.label_set import ClassShare

FEW_IMAGES = 10
"""A class shown by fewer labelled images is named."""
LOW_IOU = 0.2
"""A class of a lower IoU on images that the labeler was not trained on is named."""


def rare_classes(
    classes: ClassMap, shares: Mapping[int, ClassShare], images: int, iou: Mapping[int, float] | None, measured: str
) -> list[str]:
    """Return a sentence for each class that few labelled images show, or that is found badly; in order of their ids.

    shares: how many of ``images`` labelled images show each class. iou: 0..1 by class id, on images that the labeler
    was not trained on; classes that are absent there have none; None where nothing was measured. measured: how, such as
    "held-out". Classes that no labelled image shows are left out, and are not rare where all of few images show them.
    """
    found = []
    for class_id in classes.ids:
        shown, value = shares[class_id].images, None if iou is None else iou.get(class_id)
        reasons = []
        if shown < min(FEW_IMAGES, images):
            reasons.append(f"{shown} of {images} labelled images show{'s' * (shown == 1)} it")
        if value is not None and value < LOW_IOU:
            reasons.append(f"its {measured} IoU is {value:.2f}")
        if shown and reasons:
            found.append(
                f"Rare class '{classes.name(class_id)}': {' and '.join(reasons)}. "
                "Its labels are often wrong or missing: label more images that show it."
            )
    return found
