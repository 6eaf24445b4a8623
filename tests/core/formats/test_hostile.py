"""Files that nobody's tool wrote: whatever stands in them, the answer is a label set or a list of problems."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import LabelSetError
from core.formats import translation
from core.formats.shapes import ShapeError, brush, filled, from_runs
from core.label_sets.reading.images import PictureLimits
from core.label_sets.reading.reader import read_label_set
from tests.core.datasets.archives import write_zip
from tests.core.formats.test_readers import (
    coco_document,
    coco_files,
    cvat_files,
    label_studio_files,
    voc_files,
    yolo_files,
)

CASES = 12
#: What stands where something else was expected.
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 255, 256, 10**9, 10**30, 0.5, float("nan"), float("inf"), "", "²", "../x", "\0", "a" * 300, [],
    [[]], {}, {"id": {}}, [1, "2"], [None], [10**12, 1],
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


def spoilt(document: Any, seed: int) -> bytes:
    """The document with one to three values replaced or removed."""
    document, chance = copy.deepcopy(document), random.Random(seed)
    for _ in range(chance.randint(1, 3)):
        container, key = chance.choice(places(document))
        if chance.random() < 0.2:
            del container[key]
        else:
            container[key] = copy.deepcopy(chance.choice(ODD))
        if not places(document):
            break
    return json.dumps(document).encode()


def tried(tmp_path: Path, files: dict[str, bytes]) -> bool:
    """Whether it was read; anything but a refusal that names a problem is an error."""
    try:
        read_label_set(write_zip(tmp_path / "labels.zip", files), tmp_path / "into")
    except LabelSetError as error:
        problems = error.problems
    else:
        return True
    assert problems
    assert all(problem.detail for problem in problems)
    return False


@pytest.mark.parametrize("shapes", ["polygon", "compressed", "uncompressed"])
def test_spoilt_coco(tmp_path: Path, shapes: str) -> None:
    document = coco_document(shapes)
    document["categories"][0]["keypoints"] = ["nose"]
    for row in document["annotations"]:
        row["keypoints"] = [3, 4, 2]
    files = coco_files(document)
    assert tried(tmp_path, files)
    read = 0
    for seed in range(CASES):
        files["annotations/instances.json"] = spoilt(document, seed)
        read += tried(tmp_path, files)
    assert read < CASES


def test_a_region_whose_type_is_a_list(tmp_path: Path) -> None:
    files = label_studio_files()
    tasks = json.loads(files["project.json"])
    tasks[0]["annotations"][0]["result"][0]["type"] = ["polygonlabels"]
    files["project.json"] = json.dumps(tasks).encode()
    assert tried(tmp_path, files), "such a region is left aside, and a note says so"


@pytest.mark.parametrize("kind", ["polygonlabels", "brushlabels"])
def test_spoilt_label_studio(tmp_path: Path, kind: str) -> None:
    files = label_studio_files(kind)
    document = json.loads(files["project.json"])
    read = 0
    for seed in range(CASES):
        files["project.json"] = spoilt(document, seed)
        read += tried(tmp_path, files)
    assert read < CASES


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: cvat_files("polygon"), "annotations.xml"),
        (lambda: cvat_files("mask"), "annotations.xml"),
        (yolo_files, "labels/train/a.txt"),
        (yolo_files, "data.yaml"),
        (lambda: voc_files(labelmap=True), "VOC2012/labelmap.txt"),
        (lambda: voc_files(labelmap=True), "VOC2012/SegmentationClass/a.png"),
    ],
)
def test_spoilt_bytes(tmp_path: Path, make: Callable[[], dict[str, bytes]], name: str) -> None:
    files = make()
    whole = files[name]
    for seed in range(CASES):
        chance = random.Random(seed)
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(content))
            content[at : at + chance.randint(0, 3)] = bytes(
                chance.choice(b'0123456789-,.;:"<>& \nax\xff\0') for _ in range(chance.randint(0, 3))
            )
        files[name] = bytes(content)
        tried(tmp_path, files)


def test_shapes_from_nobody() -> None:
    for polygons in ([[0, 0, 1]], [["x"] * 6], [[1, 2, 3, 4, 5, float("inf")]], [None], [{}], [[0, 0] * 2]):
        with pytest.raises(ShapeError):
            filled(polygons, 5, 5)
    zigzag = [[0, 0, 1e12, 1e12] * 200_000]
    with pytest.raises(ShapeError, match="outline"):
        filled(zigzag, 400, 400)
    for counts in ([-1, 26], [10**30], [5, 5], "x" * 40, "P" * 400, "\x00", None, {}, [1.5, 23.5], ["x"], [True]):
        with pytest.raises(ShapeError):
            from_runs(counts, 5, 5)
    for stroke in ([], [0] * 4, [255] * 50, [0, 0, 0, 100, 1], "rle", [256], [None]):
        with pytest.raises(ShapeError):
            brush(stroke, 5, 5)


@pytest.mark.parametrize("limit", ["LEAST_IMAGE_WORK", "MOST_WORK"])
def test_more_shapes_than_can_be_drawn_are_refused_by_image(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = coco_document("polygon")
    row = {**document["annotations"][0], "segmentation": [[0, 0, 16, 0, 16, 16, 0, 16]]}
    document["annotations"] = [{**row, "id": number} for number in range(400)]
    files = coco_files(document)
    assert tried(tmp_path, files)
    monkeypatch.setattr(translation, limit, 2_000_000)
    with pytest.raises(LabelSetError, match="too much work") as refusal:
        read_label_set(write_zip(tmp_path / "labels.zip", files), tmp_path / "again")
    assert "2,000,000 pixels" in refusal.value.problems[-1].detail
    assert refusal.value.problems[-1].pointer.endswith(document["images"][0]["file_name"])


def test_a_million_polygons_over_a_large_image_are_refused_within_the_budget(tmp_path: Path) -> None:
    out = translation.Translation({}, tmp_path, PictureLimits())
    for _ in range(translation.MOST_IMAGE_WORK - 1):
        out.charge("a.png", 8000 * 5000, (5000, 8000))
    with pytest.raises(LabelSetError, match="too much work"):
        out.charge("a.png", 8000 * 5000, (5000, 8000))


def test_points_far_outside_stay_at_the_border() -> None:
    where = filled([[-1e300, -5, 1e300, -5, 1e300, 2, -1e300, 2]], 4, 6).whole()
    np.testing.assert_array_equal(where, np.arange(4)[:, None].repeat(6, 1) < 2)
