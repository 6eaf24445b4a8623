import numpy as np

from core.label_sets.label_set import LabelItem
from core.labeling.config import PRESETS, LabelerConfig
from core.labeling.targets import targets_of, without_small_classes


def test_classes_of_few_pixels_become_background_in_the_papers_preset():
    mask = np.zeros((20, 20), np.uint8)
    mask[0, :10] = 1  # 10 pixels: too few
    mask[2:5, :10] = 2  # exactly 30: stays
    mask[6, :5], mask[7, :5] = 60, 255  # ids above 49 and ignored pixels stay
    cleaned = without_small_classes(mask, PRESETS["paper"])
    assert np.array_equal(cleaned, np.where(mask == 1, 0, mask))
    assert np.array_equal(without_small_classes(mask, LabelerConfig()), mask)
    item = LabelItem("a", np.zeros((20, 20, 3), np.uint8), mask)
    (target,) = targets_of([item], 61, PRESETS["paper"])
    assert np.array_equal(target.labels[0].numpy(), cleaned)
    assert item.mask[0, 0] == 1, "the label set itself does not change"
