"""A white background, for generators that draw their subject before nothing else (StyleGAN-Human)."""

from dataclasses import replace

import numpy as np

from core.errors import LabelSetError, Problem
from core.label_sets.classes import ClassMap
from core.label_sets.label_set import LabelSet

BACKGROUND = "background"
WHITE = 255


def background_class(classes: ClassMap) -> int:
    """Return the id of the class named "background", in any case. Raises :class:`LabelSetError` where there is none."""
    found = [class_id for class_id in classes.ids if classes.name(class_id).lower() == BACKGROUND]
    if not found:
        names = ", ".join(map(classes.name, classes.ids)) or "none"
        problem = Problem(f'expected a class named "{BACKGROUND}", found {names}', "background")
        raise LabelSetError("the background of the labelled images is not known", [problem])
    return found[0]


def whitened(label_set: LabelSet) -> LabelSet:
    """Return the label set with images that are white where the mask is background (HandsOff, appendix B.1).

    Raises :class:`LabelSetError` where no class is named "background".
    """
    background = background_class(label_set.classes)
    items = tuple(
        replace(item, image=np.where((item.mask == background)[..., None], np.uint8(WHITE), item.image))
        for item in label_set.items
    )
    return replace(label_set, items=items)
