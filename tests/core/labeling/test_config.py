import json

import pytest

from core.errors import LabelerError
from core.labeling.config import PRESETS, LabelerConfig


@pytest.mark.parametrize("name", PRESETS)
def test_presets_round_trip_through_json(name):
    assert LabelerConfig.from_json(json.loads(json.dumps(PRESETS[name].to_json()))) == PRESETS[name]
    assert LabelerConfig.from_json({"preset": name}) == PRESETS[name]


def test_a_preset_can_be_changed_in_part():
    config = LabelerConfig.from_json({"preset": "paper", "members": 3, "layers": ["constant"]})
    assert (config.members, config.layers, config.pixel_batch) == (3, ("constant",), 64)
    assert LabelerConfig.from_json({"hidden": []}).hidden == ()


def test_images_are_ranked_by_class_mean_and_by_the_sum_in_the_papers_preset():
    assert LabelerConfig().score == "class_mean"
    assert (PRESETS["paper"].score, PRESETS["paper"].min_class_pixels) == ("sum", 30)


@pytest.mark.parametrize(("size", "image", "std"), [("faces", (218, 178), 5.0), ("bodies", (1024, 512), 25.0)])
def test_keypoint_sizes_are_those_of_the_paper(size, image, std):
    assert LabelerConfig.from_json({"keypoint_size": size}).keypoint_std(image) == pytest.approx(std)
    assert LabelerConfig.from_json({"keypoint_size": size, "keypoint_sigma": 7.0}).keypoint_sigma == 7


def test_all_problems_at_once():
    values = {
        "members": 0,
        "hidden": [256, 0],
        "layers": "constant",
        "max_channels": 1.5,
        "standardise": 1,
        "components": -1,
        "pixel_batch": True,
        "learning_rate": float("inf"),
        "schedule": "linear",
        "epochs": 0,
        "max_steps": 0,
        "class_balance": 2,
        "ignore_index": 256,
        "held_out": -1,
        "patience": 0,
        "measure_every": 0,
        "score": "max",
        "calibrate": 1,
        "train_on_all": 0,
        "min_class_pixels": -1,
        "balance_by": "luck",
        "aggregation": "max",
        "precision": "int4",
        "keypoint_sigma": 0,
        "keypoint_sigma_at": 0,
        "keypoint_sigma_is": "radius",
        "keypoint_peak": -1,
    }
    with pytest.raises(LabelerError) as caught:
        LabelerConfig.from_json(values)
    assert {problem.pointer for problem in caught.value.problems} == set(values)


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ([], "labeler"),
        ({"preset": "best"}, "preset"),
        ({"preset": []}, "preset"),
        ({"keypoint_size": "hands"}, "keypoint_size"),
        ({"depth": 3}, "depth"),
        ({"patience": 3}, "patience"),
    ],
)
def test_the_wrong_field_is_named(values, pointer):
    with pytest.raises(LabelerError) as caught:
        LabelerConfig.from_json(values)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
