"""The first problems of a label set are shown: the label over its image, and what belongs to no class in red."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from core.errors import LabelSetError
from core.label_sets.classes import ClassMap
from core.label_sets.reading.problem_pictures import SIDE, problem_picture
from core.label_sets.reading.reader import MOST_PICTURES, read_label_set
from tests.core.datasets.archives import good_files, mask, photograph, picture, write_zip

CLASSES = ClassMap({0: "background", 1: "head", 4: "hat"})
RED = (255, 0, 0)


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.array(image.convert("RGB"))


def is_red(drawn):
    return (drawn == RED).all(2)


def problems(tmp_path, files):
    with pytest.raises(LabelSetError) as caught:
        read_label_set(write_zip(tmp_path / "labels.zip", files), tmp_path / "into")
    return caught.value.problems


def test_what_belongs_to_no_class_is_red():
    ids = np.zeros((12, 16), np.uint8)
    ids[:6] = 9
    drawn = pixels(problem_picture(photograph(), ids, CLASSES))
    height, width = drawn.shape[0], (drawn.shape[1] - 4) // 2
    left, right = drawn[:, :width], drawn[:, -width:]
    assert not is_red(left).any()
    assert is_red(right[: height // 2]).all()
    assert not is_red(right[height // 2 :]).any()


def test_a_mask_of_another_size_is_shown_by_itself():
    drawn = pixels(problem_picture(photograph(), mask(height=6, width=8), CLASSES))
    assert drawn.shape[0] >= 12
    assert not is_red(drawn).any()


def test_points_that_lie_inside_are_ringed():
    points = np.array([[8, 6, 2], [0, 0, 0]], np.float32)
    blank = np.full((120, 160, 3), 200, np.uint8)
    drawn = pixels(problem_picture(blank, None, None, points * [10, 10, 1]))
    assert is_red(drawn[:, -160:]).any()
    assert not is_red(drawn[:, :160]).any()


def test_large_photographs_make_small_pictures():
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (1500, 2000, 3), np.uint8)
    png = problem_picture(photo, random.integers(0, 2, (1500, 2000), np.uint8), CLASSES)
    assert pixels(png).shape[1] <= 2 * SIDE + 4
    assert len(png) < 150_000


def test_the_first_items_that_are_wrong_are_shown(tmp_path):
    files = good_files(MOST_PICTURES + 3)
    for number in range(MOST_PICTURES + 2):
        ids = mask(number)
        ids[0] = 7
        files[f"masks/{number:03}.png"] = picture(ids)
    found = problems(tmp_path, files)
    assert len(found) == MOST_PICTURES + 2
    assert [bool(one.picture) for one in found] == [True] * MOST_PICTURES + [False] * 2
    assert is_red(pixels(found[0].picture)).any()


def test_what_cannot_be_drawn_is_not(tmp_path):
    files = good_files(3)
    del files["masks/001.png"]
    files["images/002.png"] = b"no picture"
    assert [one.picture for one in problems(tmp_path, files)] == [b""] * 2


def test_points_outside_are_shown_too(tmp_path):
    files = {name: content for name, content in good_files(2).items() if name.startswith("images/")}
    rows = {"000": [[1, 1, 2], [99, 1, 2]], "001": [[1, 1, 2], [2, 2, 2]]}
    files["keypoints.json"] = json.dumps({"keypoints": ["left", "right"], "images": rows}).encode()
    (found,) = problems(tmp_path, files)
    assert "lies outside" in found.detail
    assert is_red(pixels(found.picture)).any()
