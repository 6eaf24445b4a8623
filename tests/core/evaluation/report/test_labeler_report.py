"""Scores by hand, and pages and pictures that hold them."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.evaluation.labeler_quality import Reconstruction, labeler_quality
from core.evaluation.report.labeler_report import report_html, report_png
from core.label_sets.classes import ClassMap
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.keypoints import KeypointMap
from core.label_sets.label_set import LabelItem, LabelSet
from core.labeling.cross_validation import HeldOutLabel

SIZE = (8, 8)
CLASSES = ClassMap({0: "ground", 1: "<hat>", 2: "never"})


def masks():
    """Truth: the upper half is hat. Said: all of it, three quarters, half of it."""
    truth = np.zeros(SIZE, np.uint8)
    truth[:4] = 1
    said = [truth.copy(), truth.copy(), truth.copy()]
    said[1][3], said[2][2:4] = 0, 0
    return truth, said


def label(mask, score, **more):
    wrong = np.zeros(8, bool)
    wrong[:2] = True
    empty = np.zeros(0, np.float32)
    plain = HeldOutLabel(
        mask, empty, empty, np.full(SIZE, score, np.float16), np.array([score]), np.full(8, 0.75, np.float32), ~wrong
    )
    return replace(plain, **more)


@pytest.fixture
def segmented():
    truth, said = masks()
    items = tuple(LabelItem(name, np.full((*SIZE, 3), 90, np.uint8), truth) for name in "abc")
    found = [label(mask, score) for mask, score in zip(said, (0.1, 0.3, 0.2), strict=True)]
    return LabelSet(items, CLASSES, "zip"), found


INVERSION = [
    Reconstruction("a", psnr=30.0, perceptual=0.1),
    Reconstruction("b", psnr=12.0, perceptual=0.9, flags=("PSNR below 20 dB",)),
]


def test_segmentation_by_hand(segmented):
    quality = labeler_quality(*segmented, INVERSION, folds=3)
    document = quality.document
    scores = document["segmentation"]
    hat, ground = (32 + 24 + 16) / 96, 96 / (96 + 24)
    assert [row["iou"] for row in scores["classes"]] == [pytest.approx(ground), pytest.approx(hat), None]
    assert scores["mean_iou"] == pytest.approx((hat + ground) / 2)
    assert scores["pixel_accuracy"] == pytest.approx(1 - 24 / 192)
    assert quality.worst == (2, 1, 0)
    assert document["per_image"][0] == {"name": "a", "uncertainty": 0.1, "quality": {"segmentation": 1.0}}
    each = [row["quality"]["segmentation"] for row in document["per_image"]]
    # Accepted in the order of their uncertainty: a, c, b.
    accepted = np.cumsum([1 - each[0], 1 - each[2], 1 - each[1]]) / 3
    assert document["uncertainty"]["augrc"] == pytest.approx(np.trapezoid([0, *accepted], [0, 1 / 3, 2 / 3, 1]))
    assert document["reliability"]["error"] == pytest.approx(0)
    assert document["inversion"] == {
        "images": 2,
        "failures": [{"name": "b", "psnr": 12.0, "perceptual": 0.9, "why": "PSNR below 20 dB"}],
    }
    assert document["rare_classes"] == []
    assert document["warnings"] == ["Reconstructed badly: 1 of 2 labelled images. See below."]


def test_rare_classes_are_named_by_their_cross_validated_iou(segmented):
    labels, found = segmented
    missed = [replace(one, mask=np.zeros(SIZE, np.uint8)) for one in found]
    quality = labeler_quality(labels, missed, INVERSION, folds=3)
    (words,) = quality.document["rare_classes"]
    assert words.startswith("Rare class '<hat>': its cross-validated IoU is 0.00.")
    assert words in quality.document["warnings"]
    page = report_html(quality, labels, missed, "Quality")
    assert page.count("Rare class &#x27;&lt;hat&gt;&#x27;") == 1


def test_keypoints_and_depth_by_hand():
    points = np.array([[1, 1, 2], [5, 1, 2], [5, 5, 0]], np.float32)
    depth = np.full(SIZE, 2.0, np.float32)
    depth[0] = 0
    blank = np.zeros((*SIZE, 3), np.uint8)
    item = LabelItem("a", blank, np.full(SIZE, 255, np.uint8), points, depth)
    labels = LabelSet(
        (item, replace(item, name="b")),
        ClassMap({}),
        "zip",
        keypoints=KeypointMap(("left", "right", "hidden")),
        depth=DepthUnit("m"),
    )
    near = np.array([[1.3, 1, 1], [5, 3, 1], [0, 0, 0]], np.float32)
    said = label(
        item.mask,
        0.5,
        keypoints=near,
        depth=np.full(SIZE, 3.0, np.float32),
        confidence=np.zeros(0, np.float32),
        correct=np.zeros(0, bool),
    )
    exact = replace(said, keypoints=points, depth=depth)
    quality = labeler_quality(labels, [said, exact], [], folds=2)
    document = quality.document
    # The box is 4 wide: 0.4, 0.2 and 0.08 pixels.
    assert document["keypoints"]["pck"] == {"0.1": 0.75, "0.05": 0.5, "0.02": 0.5}
    assert [row["pck"]["0.1"] for row in document["keypoints"]["points"]] == [1.0, 0.5, None]
    assert document["depth"]["mnmse"] == pytest.approx(0.125)
    assert document["depth"]["unit"] == "m"
    assert quality.worst == (0, 1)
    assert document["reliability"] is None
    assert document["per_image"][0]["quality"] == {"keypoints": 0.5, "depth": pytest.approx(0.75)}
    page = report_html(quality, labels, [said, exact], "What lab_1 is worth")
    assert "PCK-0.02" in page
    assert "mNMSE" in page
    assert Image.open(io.BytesIO(report_png(quality, labels, [said, exact], "lab_1"))).format == "PNG"


def test_the_page_needs_nothing_else_and_names_are_escaped(segmented):
    quality = labeler_quality(*segmented, INVERSION, folds=3)
    page = report_html(quality, *segmented, "What lab_1 is worth")
    assert page.startswith("<!doctype html>")
    assert "<hat>" not in page
    assert "&lt;hat&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "data:image/png;base64," in page
    picture = Image.open(io.BytesIO(report_png(quality, *segmented, "What lab_1 is worth")))
    assert picture.width > 1000
    assert (0, 135, 195) in {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


def test_depth_alone_is_shown(segmented):
    depth = np.linspace(1, 3, 64, dtype=np.float32).reshape(SIZE)
    items = tuple(replace(item, mask=np.full(SIZE, 255, np.uint8), depth=depth) for item in segmented[0].items)
    labels = LabelSet(items, ClassMap({}), "zip", depth=DepthUnit("m"))
    found = [replace(one, depth=depth + at, confidence=np.zeros(0, np.float32)) for at, one in enumerate(segmented[1])]
    quality = labeler_quality(labels, found, [], folds=3)
    assert quality.worst == (2, 1, 0)
    assert Image.open(io.BytesIO(report_png(quality, labels, found, "lab_1"))).format == "PNG"
