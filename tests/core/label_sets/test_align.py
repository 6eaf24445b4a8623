"""Registration: image, mask, keypoints and depth go through one map, and nothing that is missing is passed over."""

import io
import json
import math
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.errors import LabelSetError
from core.label_sets.align import BoxAlignment, KeypointAlignment, align_to
from core.label_sets.classes import ClassMap
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.keypoints import KeypointMap
from core.label_sets.label_set import LabelItem, LabelSet
from core.label_sets.reading.reader import read_label_set
from core.label_sets.resize import resize_to
from core.label_sets.storage import load_label_set, save_label_set
from core.label_sets.warp import Warp, fit_affine, fit_similarity

CLASSES = ClassMap.from_json(["ground", "subject"])
POINTS = KeypointMap(("left", "right", "below"))
RED, BLUE = (200, 30, 30), (30, 30, 200)


def item(name, size=(80, 120), corner=(40, 20), extent=(40, 20), box=None, visible=(2, 2, 2)):
    """A red subject of ``extent`` (width, height) at ``corner`` on blue ground; its points are three of its corners."""
    (x, y), (width, height) = corner, extent
    image = np.full((*size, 3), BLUE, np.uint8)
    mask = np.zeros(size, np.uint8)
    image[y : y + height, x : x + width] = RED
    mask[y : y + height, x : x + width] = 1
    points = [[x, y, visible[0]], [x + width, y, visible[1]], [x, y + height, visible[2]]]
    return LabelItem(name, image, mask, np.array(points, np.float32), mask.astype(np.float32) * 3, box)


def label_set(*items):
    return LabelSet(items, CLASSES, keypoints=POINTS, depth=DepthUnit())


def assert_in_step(one):
    """Where the mask says subject the image is red and the depth 3, but for the pixels near the edge."""
    edge = np.zeros(one.mask.shape, bool)
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            edge |= np.roll(one.mask, step, axis) != one.mask
    subject, ground = (one.mask == 1) & ~edge, (one.mask == 0) & ~edge
    assert (np.abs(one.image[subject].astype(int) - RED) <= 25).all()
    assert (np.abs(one.image[ground].astype(int) - BLUE) <= 25).all()
    assert (one.depth[one.mask == 1] == 3).all()
    assert (one.depth[one.mask != 1] == 0).all()


def test_a_box_becomes_the_whole_picture():
    (one,) = align_to(label_set(item("a", box=(40.0, 20.0, 40.0, 20.0))), 16, 32, BoxAlignment()).items
    assert (one.mask == 1).all()
    assert (one.image[1:-1, 1:-1] == RED).all()
    assert one.keypoints[:, :2].tolist() == [[0, 0], [32, 0], [0, 16]]
    assert one.box is None, "it is spent"
    assert one.warp.scale == pytest.approx(0.8)
    assert one.warp.degrees == 0


@pytest.mark.parametrize(
    ("fit", "shown", "left"),
    # A box twice as wide as high, in a square frame: its middle, all of it between strips of ground, or squeezed.
    [("crop", 1.0, (-16, 0)), ("pad", 0.5, (0, 8)), ("stretch", 1.0, (0, 0))],
)
def test_fit_decides_what_becomes_of_a_box_of_another_shape(fit, shown, left):
    aligned = align_to(label_set(item("a", box=(40.0, 20.0, 40.0, 20.0))), 32, 32, BoxAlignment(), fit)
    (one,) = aligned.items
    assert (one.mask == 1).mean() == pytest.approx(shown)
    assert (one.mask == CLASSES.ignore_index).sum() == 0, "what surrounds the box is there"
    expected = [0, 0] if left[0] < 0 else left
    assert one.keypoints[0, :2].tolist() == list(expected)
    assert one.keypoints[0, 2] == (0 if left[0] < 0 else 2), "a point outside of the frame is not labelled"
    assert "1 images brought to 32 x 32 by their boxes" in [note.text for note in aligned.notes]


def test_a_margin_shows_what_is_around_and_beyond_the_image_there_is_a_border():
    (one,) = align_to(label_set(item("a", box=(0.0, 0.0, 120.0, 80.0))), 160, 240, BoxAlignment(0.5), "pad").items
    assert_in_step(one)
    covered = one.mask != CLASSES.ignore_index
    assert covered.mean() == pytest.approx(0.25)
    assert covered[40:120, 60:180].all()
    assert (one.image[~covered] == 128).all()
    assert (one.warp.covered == covered).all()
    assert one.warp.to_json() == {"scale": 1, "degrees": 0, "outside": pytest.approx(0.75), "misfit": None}


@pytest.mark.parametrize("size", [(40, 60), (20, 30), (27, 41)])
def test_shrinking_averages(size):
    """Noise shrunk by the map is about as smooth as noise shrunk by area."""
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    plain = label_set(item("a"), item("b"))
    labels = LabelSet(
        tuple(LabelItem(one.name, noise, one.mask, box=(0.0, 0.0, 120.0, 80.0)) for one in plain.items), CLASSES
    )
    warped = align_to(labels, *size, BoxAlignment(), "stretch").items[0]
    resized = resize_to(labels, *size, "stretch").items[0]
    assert warped.image.std() == pytest.approx(resized.image.std(), rel=0.25)
    if 80 % size[0] == 0:
        assert np.abs(warped.image.astype(int) - resized.image).max() <= 1
        assert (warped.mask == resized.mask).all()


def test_keypoints_bring_a_turned_subject_upright():
    upright = item("a")
    turned = Warp(_rotation(25, 0.8, (10, 12)), (80, 120), (140, 180))
    points = np.concatenate([turned.points(upright.keypoints[:, :2].astype(np.float64)), [[2], [2], [2]]], 1)
    photograph = LabelItem(
        "b",
        turned.picture(upright.image, BLUE),
        np.where(turned.covered, turned.nearest(upright.mask, 0), 0).astype(np.uint8),
        points.astype(np.float32),
        turned.nearest(upright.depth, 0.0),
    )
    wanted = {"left": (0.25, 0.25), "right": (0.75, 0.25), "below": (0.25, 0.75)}
    for one in align_to(label_set(upright, photograph), 40, 80, KeypointAlignment(wanted)).items:
        assert_in_step(one)
        found = one.keypoints[:, :2] / (80, 40)
        assert np.abs(found - list(wanted.values())).max() < 1e-3
        assert one.warp.misfit < 0.05
        columns = np.flatnonzero((one.mask == 1).any(0))
        assert (columns[0], columns[-1]) == (pytest.approx(20, abs=1), pytest.approx(59, abs=1))
    assert one.warp.degrees == pytest.approx(-25, abs=0.1)


def test_affine_maps_may_shear_and_similarities_may_not():
    wanted = {"left": (0.25, 0.25), "right": (0.75, 0.25), "below": (0.25, 0.9)}
    (stiff,) = align_to(label_set(item("a")), 40, 40, KeypointAlignment(wanted)).items
    (free,) = align_to(label_set(item("a")), 40, 40, KeypointAlignment(wanted, "affine")).items
    assert stiff.warp.misfit > 1
    assert free.warp.misfit == pytest.approx(0, abs=1e-9)
    assert_in_step(free)
    assert stiff.warp.matrix[0, 0] == pytest.approx(stiff.warp.matrix[1, 1])


def test_fits_recover_the_map_and_refuse_too_few_points():
    random = np.random.default_rng(1)
    source = random.uniform(0, 100, (5, 2))
    turned = _rotation(-70, 2.5, (3, -8))
    assert fit_similarity(source, Warp(turned, (1, 1), (1, 1)).points(source)) == pytest.approx(turned, abs=1e-9)
    sheared = np.array([[1.5, 0.3, 4.0], [-0.2, 0.7, 9.0]])
    assert fit_affine(source, Warp(sheared, (1, 1), (1, 1)).points(source)) == pytest.approx(sheared, abs=1e-9)
    # The nearest map without mirroring, where mirroring would be nearer.
    mirrored = fit_similarity(source, source * (-1, 1))
    assert np.linalg.det(mirrored[:, :2]) > 0
    for fit, points, words in (
        (fit_similarity, source[:1], "two different points"),
        (fit_similarity, source[[0, 0]], "two different points"),
        (fit_affine, source[:2], "not on one line"),
        (fit_affine, np.array([[0, 0], [1, 1], [2, 2.0]]), "not on one line"),
    ):
        with pytest.raises(ValueError, match=words):
            fit(points, points)
    with pytest.raises(ValueError, match="coincide"):
        fit_similarity(source, np.zeros((5, 2)))


def test_every_image_that_lacks_something_is_named():
    boxed, bare, far = item("boxed", box=(1.0, 1.0, 9.0, 9.0)), item("bare"), item("far", box=(119.9, 0.0, 9e9, 9e9))
    with pytest.raises(LabelSetError) as caught:
        align_to(label_set(boxed, bare, far), 8, 8, BoxAlignment(), "pad")
    assert {problem.pointer: problem.detail for problem in caught.value.problems} == {
        "bare": "has no box: boxes.json does not name it",
        "far": "no part of it would be in the frame",
    }
    one_point, no_point = item("one", visible=(2, 0, 0)), item("none", visible=(0, 0, 0))
    alignment = KeypointAlignment({"left": (0.2, 0.2), "right": (0.8, 0.2)})
    with pytest.raises(LabelSetError) as caught:
        align_to(label_set(item("good", visible=(1, 2, 0)), one_point, no_point), 8, 8, alignment)
    details = {problem.pointer: problem.detail for problem in caught.value.problems}
    assert details["one"] == "it shows the keypoints left: at least two different points are needed"
    assert details["none"].startswith("it shows the keypoints none")
    assert set(details) == {"one", "none"}


def test_keypoints_that_nobody_labelled_are_named():
    alignment = KeypointAlignment({"left": (0.2, 0.2), "nose": (0.5, 0.5)})
    with pytest.raises(LabelSetError) as caught:
        align_to(label_set(item("a")), 8, 8, alignment)
    (problem,) = caught.value.problems
    assert problem.pointer == "align.keypoints.nose"
    assert "they have left, right, below" in problem.detail
    with pytest.raises(LabelSetError, match="cannot be aligned") as caught:
        align_to(LabelSet((item("a"),), CLASSES), 8, 8, alignment)
    assert "no keypoints.json" in caught.value.problems[0].detail


def archive(path, boxes):
    def png(array):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        return buffer.getvalue()

    with zipfile.ZipFile(path, "w") as target:
        target.writestr("classes.json", json.dumps(["ground", "subject"]))
        for name in ("a", "b"):
            target.writestr(f"images/{name}.png", png(item(name).image))
            target.writestr(f"masks/{name}.png", png(item(name).mask))
        target.writestr("boxes.json", json.dumps(boxes))
    return path


def test_boxes_come_with_the_archive_and_stay_with_the_set(tmp_path):
    boxes = {"a": [40, 20, 40, 20.5]}
    labels = read_label_set(archive(tmp_path / "labels.zip", {"boxes": boxes}), tmp_path / "work")
    assert [one.box for one in labels.items] == [(40, 20, 40, 20.5), None]
    assert labels.detected_format == "zip with images/, masks/, classes.json and boxes.json"
    bare = read_label_set(archive(tmp_path / "labels.zip", {"boxes": {}}), tmp_path / "bare")
    assert bare.digest != labels.digest
    save_label_set(labels, tmp_path / "kept")
    kept = load_label_set(tmp_path / "kept")
    assert [one.box for one in kept.items] == [one.box for one in labels.items]
    document = json.loads((tmp_path / "kept" / "label_set.json").read_text())
    save_label_set(bare, tmp_path / "old")
    old = json.loads((tmp_path / "old" / "label_set.json").read_text())
    assert document["boxes"] == [[40, 20, 40, 20.5], None]
    (tmp_path / "old" / "label_set.json").write_text(json.dumps({key: old[key] for key in old if key != "boxes"}))
    assert load_label_set(tmp_path / "old").digest == bare.digest, "stored before there were boxes"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "write {"),
        ({"boxes": {"a": [1, 2, 3]}}, "a: [1, 2, 3] is not four numbers"),
        ({"boxes": {"a": [1, 2, 3, math.nan]}}, "is not four numbers"),
        ({"boxes": {"a": [1, 2, 0, 4]}}, "a: the box is 0 x 4 pixels"),
        ({"boxes": {"a": [120, 2, 5, 4]}}, "lies outside of the 120 x 80 image"),
        ({"boxes": {"c": [1, 2, 3, 4]}}, "lists the image 'c', which the archive does not hold"),
    ],
)
def test_boxes_that_cannot_be_are_named(tmp_path, document, words):
    with pytest.raises(LabelSetError) as caught:
        read_label_set(archive(tmp_path / "labels.zip", document), tmp_path / "work")
    assert any(words in problem.detail and problem.pointer == "boxes.json" for problem in caught.value.problems)


def _rotation(degrees, scale, shift):
    cosine, sine = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[cosine, -sine, shift[0] + 40 * (degrees > 0)], [sine, cosine, shift[1]]])
