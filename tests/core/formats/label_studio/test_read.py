"""Label Studio's exports: every drawn region arrives, and what is not labelled is not background."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.core.datasets.archives import photograph, picture
from tests.core.formats.sets import LARGE, SIDE, SQUARE, notes, pictures, problems, read, shares
from tests.core.formats.test_readers import packed

FRAME = {"original_width": SIDE, "original_height": SIDE, "image_rotation": 0, "to_name": "image"}


def polygon(corners: list[int], label: str | None, **more: Any) -> dict[str, Any]:
    points = [[100 * corners[at] / SIDE, 100 * corners[at + 1] / SIDE] for at in range(0, len(corners), 2)]
    value: dict[str, Any] = {"points": points, "closed": True}
    if label is not None:
        value["polygonlabels"] = [label]
    return {"type": "polygonlabels", "value": value, **FRAME, **more}


def region(kind: str, label: str | None, pixels: dict[str, float], **more: float) -> dict[str, Any]:
    """``pixels``: measures of the shape in pixels; ``more``: such as its rotation."""
    value: dict[str, Any] = {key: 100 * one / SIDE for key, one in pixels.items()} | more
    if label is not None:
        value[kind] = [label]
    return {"type": kind, "value": value, **FRAME}


def task(number: int, image: str, *results: dict[str, Any], **annotation: Any) -> dict[str, Any]:
    made = {"id": 10 * number, "result": list(results), "was_cancelled": False, **annotation}
    return {"id": number, "data": {"image": image}, "annotations": [made]}


CUP, SPOON = task(1, "a.png", polygon(SQUARE, "cup")), task(2, "b.png", polygon(LARGE, "spoon"))
RIGHT = {"a": {"cup": 256}, "b": {"spoon": 484}}


def archive(*tasks: Any, more: tuple[str, ...] = ()) -> dict[str, Any]:
    return {**pictures("images/a.png", "images/b.png", *more), "export.json": list(tasks)}


@pytest.mark.parametrize(
    ("drawn", "pixels"),
    [
        (region("rectanglelabels", "cup", {"x": 4, "y": 6, "width": 10, "height": 5}), 50),
        (region("rectanglelabels", "cup", {"x": 20, "y": 4, "width": 16, "height": 8}, rotation=90), 128),
        (region("rectanglelabels", "cup", {"x": 14, "y": 6, "width": -10, "height": 5}), 50),
        (region("ellipselabels", "cup", {"x": 16, "y": 16, "radiusX": 10, "radiusY": 6}), 188),
        (polygon([-32, 0, 16, 16, -32, 32], "cup"), 85),
    ],
)
def test_shapes_with_an_area_are_read(drawn: dict[str, Any], pixels: int) -> None:
    labels = read(archive(task(1, "a.png", drawn), SPOON))
    assert shares(labels)["a"]["cup"] == pytest.approx(pixels, abs=6)
    assert shares(labels)["b"] == {"spoon": 484}


def test_a_rectangle_turns_clockwise_about_its_first_corner() -> None:
    drawn = region("rectanglelabels", "cup", {"x": 20, "y": 4, "width": 16, "height": 8}, rotation=90)
    mask = read(archive(task(1, "a.png", drawn), SPOON)).items[0].mask
    assert mask[5:19, 13:19].all()
    assert not mask[:, 21:].any()


def test_shape_and_labels_of_one_id_are_one_region() -> None:
    shape = {**polygon(SQUARE, None), "type": "polygon", "id": "r"}
    named = {**polygon(SQUARE, None), "type": "labels", "id": "r"}
    named["value"] = {**named["value"], "labels": ["cup"]}
    for results in ((shape, named), (named, shape)):
        assert shares(read(archive(task(1, "a.png", *results), SPOON))) == RIGHT


def test_regions_without_one_class_are_ignored_not_background() -> None:
    both = polygon(SQUARE, "cup", id="x")
    both["value"]["polygonlabels"] = ["cup", "fork"]
    labels = read(archive(task(1, "a.png", both), task(2, "b.png", polygon(SQUARE, None), polygon(LARGE, "spoon"))))
    assert shares(labels) == {"a": {"ignored": 256}, "b": {"spoon": 484, "ignored": 256 - 144}}
    assert {"cup", "fork", "spoon"} <= set(labels.classes.names.values()), "their classes stay in the map"
    assert "regions with several labels" in notes(labels)
    assert "regions without a label" in notes(labels)


def test_shapes_without_an_area_are_ignored_and_keep_their_class() -> None:
    point = region("keypointlabels", "handle", {"x": 28, "y": 28, "width": 1})
    line = polygon([2, 26, 6, 30, 2, 28], "edge")
    line["value"]["closed"] = False
    labels = read(archive(task(1, "a.png", polygon(SQUARE, "cup"), point, line), SPOON))
    assert shares(labels)["a"]["cup"] == 256
    assert labels.items[0].mask[28, 28] == 255
    assert labels.items[0].mask[28, 4] == 255
    assert {"handle", "edge"} <= set(labels.classes.names.values())
    assert "shapes of the kind 'keypointlabels' have no area" in notes(labels)


def test_tasks_that_are_not_labelled_are_left_out_with_a_note() -> None:
    predicted = {"id": 3, "data": {"image": "c.png"}, "annotations": [], "predictions": CUP["annotations"]}
    skipped = task(4, "d.png", polygon(SQUARE, "cup"), was_cancelled=True)
    labels = read(archive(CUP, SPOON, predicted, skipped, more=("c.png", "d.png")))
    assert shares(labels) == RIGHT
    assert "left out, as it has no annotation: task 3" in notes(labels)
    assert "left out, as it was skipped: its annotations are cancelled: task 4" in notes(labels)
    assert problems(archive(CUP, predicted, skipped, more=("c.png", "d.png"))) == [
        "export.json: 1 of 3 tasks have an annotation that is not cancelled: at least 2 are needed"
    ]


def test_an_annotation_without_regions_is_background() -> None:
    labels = read(archive(CUP, SPOON, task(3, "c.png"), more=("c.png",)))
    assert shares(labels) == {**RIGHT, "c": {}}
    assert "annotated without any region, every pixel is background" in notes(labels)


def test_ground_truth_goes_before_the_newest_annotation() -> None:
    first = {"id": 1, "result": [polygon(SQUARE, "cup")], "updated_at": "2024-01-01T00:00:00Z"}
    newest = {"id": 2, "result": [polygon(LARGE, "spoon")], "updated_at": "2024-03-01T00:00:00Z"}
    middle = {"id": 3, "result": [polygon(LARGE, "cup")], "updated_at": "2024-02-01T00:00:00Z"}
    double = {"id": 1, "data": {"image": "a.png"}, "annotations": [first, newest, middle]}
    labels = read(archive(double, SPOON))
    assert shares(labels)["a"] == {"spoon": 484}
    assert "the annotation made last is read" in notes(labels)
    first["ground_truth"] = True
    labels = read(archive(double, SPOON))
    assert shares(labels) == RIGHT
    assert "ground_truth" in notes(labels)


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/0a1b2c3d-a.png",
        "https://bucket.example.org/set/a.png?X-Amz-Expires=3600&X-Amz-Signature=ab12",
        "/data/local-files/?d=images/a.png",
        "s3://bucket/images/a.png",
        "upload\\3\\a.png",
    ],
)
def test_addresses_of_images_find_their_file(address: str) -> None:
    assert shares(read(archive(task(1, address, polygon(SQUARE, "cup")), SPOON))) == RIGHT


def test_several_exports_are_joined_by_label() -> None:
    other = task(1, "b.png", polygon(LARGE, "spoon"))
    files = {**pictures("images/a.png", "images/b.png"), "one.json": [CUP], "two.json": [other]}
    assert "1 of 2 tasks" not in notes(read(files))
    labels = read(files)
    assert shares(labels) == RIGHT
    assert labels.classes.names == {0: "background", 1: "cup", 2: "spoon"}
    assert problems({**files, "two.json": [other, task(7, "a.png", polygon(LARGE, "spoon"))]}) == [
        "images/a.png: is labelled in task 1 of one.json and in task 7 of two.json: keep one of them"
    ]


def test_json_min_and_target_storage_are_read() -> None:
    flat = [
        {
            "id": one["id"],
            "image": one["data"]["image"],
            "label": [
                {**r["value"], "original_width": SIDE, "original_height": SIDE} for r in one["annotations"][0]["result"]
            ],
            "annotator": 1,
            "annotation_id": 5,
        }
        for one in (CUP, SPOON)
    ]
    assert shares(read({**pictures("a.png", "b.png"), "min.json": flat})) == RIGHT
    stored = {
        f"{one['id']}.json": {**one["annotations"][0], "task": {"id": one["id"], "data": one["data"]}}
        for one in (CUP, SPOON)
    }
    assert shares(read({**pictures("a.png", "b.png"), **stored})) == RIGHT


def test_a_task_of_several_images_gives_each_its_regions() -> None:
    several = task(1, "", polygon(SQUARE, "cup", to_name="left"), polygon(LARGE, "spoon", to_name="right"))
    several["data"] = {"left": "a.png", "right": "b.png", "map": "c.png"}
    labels = read(archive(several, more=("c.png",)))
    assert shares(labels) == RIGHT
    assert "left out, as no region of a task with several images is theirs: c.png" in notes(labels)
    pages = task(1, "", polygon(SQUARE, "cup", item_index=0), polygon(LARGE, "spoon", item_index=1))
    pages["data"] = {"pages": ["a.png", "b.png"]}
    assert shares(read(archive(pages))) == RIGHT
    several["annotations"][0]["result"][0]["to_name"] = "image"
    assert "regions whose to_name is none of them" in problems(archive(several, more=("c.png",)))[0]


def test_a_turned_image_is_refused_by_name() -> None:
    turned = task(1, "a.png", polygon(SQUARE, "cup", image_rotation=90, id="r1"))
    assert problems(archive(turned, SPOON)) == [
        "export.json: task 1, region 'r1': was drawn with image_rotation 90: "
        "turn the image back in Label Studio and export again"
    ]


def test_a_size_before_exif_orientation_is_named() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stated = {"original_width": 32, "original_height": 24}
    lying = picture(photograph(9, 24, 32), exif=exif)
    files = archive(task(1, "a.png", polygon(SQUARE, "cup", **stated)), SPOON) | {"images/a.png": lying}
    (problem,) = problems(files)
    assert "was drawn on 32 x 24, and the image is 24 x 32" in problem
    assert "EXIF" in problem


def test_brush_strokes_are_read() -> None:
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    pixels[4:20, 4:20] = 255
    value = {"format": "rle", "rle": packed(pixels.ravel()), "brushlabels": ["cup"]}
    drawn = {"type": "brushlabels", "value": value, **FRAME}
    assert shares(read(archive(task(1, "a.png", drawn), SPOON))) == RIGHT


def test_numbers_may_be_written_as_text() -> None:
    text = (
        json.dumps([CUP, SPOON]).replace('"original_width": 32', '"original_width": "32"').replace("12.5,", '"12.5",')
    )
    assert '"12.5"' in text
    assert shares(read({**pictures("a.png", "b.png"), "export.json": text.encode()})) == RIGHT
