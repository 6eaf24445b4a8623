"""Labelled images as a mirror shows them."""

import numpy as np

from core.label_sets.classes import ClassMap
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.flip import mirrored, mirrored_pairs
from core.label_sets.keypoints import KeypointMap
from core.label_sets.label_set import LabelItem, LabelSet


def test_what_changes_places_in_a_mirror_is_known_by_name():
    names = ("nose", "left_eye", "right_eye", "mouth-right", "Mouth Left", "l_brow", "r_brow", "left_ear", "lr")
    assert mirrored_pairs(dict(enumerate(names))) == ((1, 2), (3, 4), (5, 6))


def label_set() -> LabelSet:
    """Two images of 2×4: one with everything, in one of the points nothing is known."""
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    mask = np.array([[0, 1, 1, 255], [2, 2, 7, 0]], np.uint8)
    points = np.array([[0.5, 0.5, 2], [3.25, 1.5, 1], [0, 0, 0]], np.float32)
    depth = np.arange(8, dtype=np.float32).reshape(2, 4)
    item = LabelItem("one", image, mask, points, depth, box=(0, 0, 4, 2))
    return LabelSet(
        (item, LabelItem("two", image[::-1], mask, points, depth)),
        ClassMap({0: "ground", 1: "left eye", 2: "right eye", 7: "nose"}),
        keypoints=KeypointMap(("left_ear", "right_ear", "chin")),
        depth=DepthUnit(),
    )


def test_labels_follow_their_image():
    labels = label_set()
    one = mirrored(labels).items[0]
    assert one.name == "one"
    assert np.array_equal(one.image, labels.items[0].image[:, ::-1])
    # What was the left eye is the right one; what is ignored stays so.
    assert one.mask.tolist() == [[255, 2, 2, 0], [0, 7, 1, 1]]
    # Each ear stands where the other was, mirrored; what is not labelled keeps its zeros.
    assert one.keypoints is not None
    assert one.keypoints.tolist() == [[4 - 3.25, 1.5, 1], [3.5, 0.5, 2], [0, 0, 0]]
    assert one.depth is not None
    assert one.depth.tolist() == [[3, 2, 1, 0], [7, 6, 5, 4]]
    assert one.box is None
    assert one.mask.dtype == np.uint8
    assert one.image.flags.c_contiguous


def test_a_mirror_in_a_mirror_shows_what_there_was():
    labels = label_set()
    twice = mirrored(mirrored(labels))
    for before, after in zip(labels.items, twice.items, strict=True):
        assert np.array_equal(before.image, after.image)
        assert np.array_equal(before.mask, after.mask)
        assert np.array_equal(before.keypoints, after.keypoints)
        assert np.array_equal(before.depth, after.depth)
    assert labels.items[0].keypoints[0].tolist() == [0.5, 0.5, 2]  # and nothing was changed in place
