import numpy as np
import pytest

from core.errors import LabelSetError
from core.label_sets.background import whitened
from core.label_sets.classes import ClassMap
from core.label_sets.label_set import LabelItem, LabelSet


def test_the_background_becomes_white_and_nothing_else():
    mask = np.array([[3, 0], [255, 3]], np.uint8)
    image = np.full((2, 2, 3), 90, np.uint8)
    labels = LabelSet((LabelItem("a", image, mask),), ClassMap({0: "person", 3: "Background"}))
    changed = whitened(labels)
    assert (changed.items[0].image[mask == 3] == 255).all()
    assert (changed.items[0].image[mask != 3] == 90).all()
    assert (image == 90).all(), "the images themselves stay"
    assert changed.digest != labels.digest
    with pytest.raises(LabelSetError, match="background"):
        whitened(LabelSet(labels.items, ClassMap({0: "person", 3: "wall"})))
