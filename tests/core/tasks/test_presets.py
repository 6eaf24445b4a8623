import numpy as np
import pytest

from core.tasks.presets import COLLAPSES
from core.tasks.segmentation import collapse

SOURCES = {
    "celebamask_hq_8": 19,
    "car_parts_10": 19,
    "deepfashion_mm_10": 24,
    "deepfashion_mm_8": 24,
    "cityscapes_8": 34,
}


@pytest.mark.parametrize("name", COLLAPSES)
def test_every_source_id_has_one_target_and_there_are_as_many_as_the_name_says(name):
    preset = COLLAPSES[name]
    assert sorted(preset.targets) == list(range(SOURCES[name]))
    assert sum(map(len, preset.sources)) == SOURCES[name]
    assert len(preset.names) == int(name.rpartition("_")[2])


def test_where_the_printed_tables_are_wrong():
    faces, cars, body = (COLLAPSES[name] for name in ("celebamask_hq_8", "car_parts_10", "deepfashion_mm_10"))
    assert faces.names[faces.targets[3]] == "eyes"  # glasses
    assert cars.names[cars.targets[2]] == "back_window"
    assert cars.names[cars.targets[3]] == "doors"
    assert {body.names[body.targets[one]] for one in (8, 14, 22)} == {"face"}
    assert {body.names[body.targets[one]] for one in (9, 15, 20)} == {"skin"}
    streets = COLLAPSES["cityscapes_8"]
    assert streets.names[streets.targets[33]] == "vehicle"


def test_a_mask_is_collapsed_and_what_is_ignored_stays():
    mask = np.array([[3, 4, 13], [14, 18, 255]], np.uint8)
    assert collapse(mask, COLLAPSES["celebamask_hq_8"].targets).tolist() == [[3, 3, 7], [0, 0, 255]]
