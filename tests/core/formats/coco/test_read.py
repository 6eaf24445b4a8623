"""COCO files as tools write them: every label arrives on its image, or the archive is refused with the cause."""

import json
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

from tests.core.datasets.archives import photograph, picture
from tests.core.formats.sets import LARGE, SIDE, SQUARE, coco, notes, pictures, problems, read, shares

BOTH = [(1, 1, SQUARE), (2, 2, LARGE)]
RIGHT = {"a": {"cup": 256}, "b": {"spoon": 484}}


def plain(**changes: Any) -> dict[str, Any]:
    return {**coco(["a.png", "b.png"], BOTH), **changes}


def archive(document: Any) -> dict[str, Any]:
    return {**pictures("images/a.png", "images/b.png"), "annotations.json": document}


# Several files


def test_class_ids_of_several_files_are_joined_by_name() -> None:
    swapped = [{"id": 1, "name": "spoon"}, {"id": 2, "name": "cup"}, {"id": 3, "name": "fork"}]
    files = {
        **pictures("a.png", "b.png", "c.png"),
        "one.json": coco(["a.png"], [(1, 1, SQUARE)]),
        "two.json": coco(["b.png", "c.png"], [(1, 1, LARGE), (2, 3, SQUARE)], swapped),
    }
    labels = read(files)
    assert shares(labels) == {**RIGHT, "c": {"fork": 256}}
    assert labels.classes.names == {0: "background", 1: "cup", 2: "spoon", 3: "fork"}
    assert "spoon is 1 in two.json and 2 here" in notes(labels)


def test_equal_ids_in_several_files_are_different_images() -> None:
    files = {
        **pictures("train/1.png", "val/1.png"),
        "train/_annotations.coco.json": coco(["1.png"], [(1, 1, SQUARE)]),
        "val/_annotations.coco.json": coco(["1.png"], [(1, 2, LARGE)]),
    }
    assert shares(read(files)) == {"train/1": {"cup": 256}, "val/1": {"spoon": 484}}


def test_classes_that_names_cannot_join_are_refused() -> None:
    files = {
        **pictures("a.png", "b.png"),
        "one.json": coco(["a.png"], [(1, 1, SQUARE)]),
        "two.json": coco(["b.png"], [(1, 1, SQUARE)], [{"id": 1, "name": "Cup"}]),
    }
    (problem,) = problems(files)
    assert problem.startswith("two.json: has a class 'Cup' where one.json has 'cup'")
    twice = [{"id": 1, "name": "mouse"}, {"id": 2, "name": "mouse"}]
    assert "the name 'mouse' is given to the classes 1 and 2" in problems(archive(plain(categories=twice)))[0]


def test_masks_and_keypoints_of_the_same_images_are_one_label_set() -> None:
    person = [{"id": 1, "name": "person", "keypoints": ["nose", "chin"], "skeleton": [[1, 2]]}]
    row = {"id": 1, "image_id": 5, "category_id": 1, "segmentation": [LARGE], "keypoints": [5, 6, 2, 0, 0, 0]}
    image = {"id": 5, "file_name": "a.png", "width": SIDE, "height": SIDE}
    files = {
        **pictures("train2017/a.png", "train2017/b.png"),
        "annotations/instances_train2017.json": plain(),
        "annotations/person_keypoints_train2017.json": coco([image], [row], person),
    }
    labels = read(files)
    assert shares(labels) == RIGHT
    assert labels.classes.names == {0: "background", 1: "cup", 2: "spoon"}
    assert labels.keypoints is not None
    assert labels.keypoints.names == ("nose", "chin")
    assert labels.items[0].keypoints.tolist() == [[5, 6, 2], [0, 0, 0]]
    assert not labels.items[1].keypoints.any()


def test_shapes_of_two_mask_files_lie_in_one_mask() -> None:
    things, stuff = plain(), coco(["a.png", "b.png"], [(1, 9, [0, 0, 32, 0, 32, 2, 0, 2])], [{"id": 9, "name": "sky"}])
    files = {**archive(things), "stuff.json": stuff}
    assert shares(read(files)) == {"a": {"cup": 256, "sky": 64}, "b": {"spoon": 484}}


def test_category_ids_that_no_mask_can_hold_are_replaced() -> None:
    labels = read(
        archive(
            json.loads(json.dumps(plain()).replace('"category_id": 2', '"category_id": 9002'))
            | {"categories": [{"id": 1, "name": "cup"}, {"id": 9002, "name": "spoon"}]}
        )
    )
    assert shares(labels) == RIGHT
    assert "spoon is 9002 in annotations.json and 2 here" in notes(labels)


def test_a_category_of_the_same_name_without_annotations_is_dropped() -> None:
    """Roboflow adds a category with the name of the project, which may be that of a class."""
    root = [{"id": 0, "name": "cup", "supercategory": "none"}, *coco([], [])["categories"]]
    labels = read(archive(plain(categories=root)))
    assert shares(labels) == RIGHT
    assert labels.classes.names == {0: "background", 1: "cup", 2: "spoon"}


def test_files_of_other_coco_tasks_beside_masks_add_nothing() -> None:
    """datumaro writes one file for each task, all of the same images."""
    tagged = [{"id": n, "image_id": n, "category_id": 1} for n in (1, 2)]
    files = {
        **pictures("images/default/a.png", "images/default/b.png"),
        "annotations/instances_default.json": plain(),
        "annotations/labels_default.json": coco(["a.png", "b.png"], tagged, [{"id": 1, "name": "indoor"}]),
        "annotations/image_info_default.json": {**coco(["a.png", "b.png"], []), "categories": []},
        "annotations/captions_default.json": {"images": [], "annotations": []},
    }
    labels = read(files)
    assert shares(labels) == RIGHT
    assert "indoor" not in labels.classes.names.values()
    assert "annotations/captions_default.json: left aside, as they are no COCO" in notes(labels)


def test_a_split_without_any_object_is_background() -> None:
    files = {**archive(plain()), **pictures("c.png"), "empty.json": coco(["c.png"], [])}
    assert shares(read(files)) == {**RIGHT, "c": {}}


def test_the_background_of_labelme_is_the_background() -> None:
    named = [{"id": 0, "name": "_background_", "supercategory": None}, *coco([], [])["categories"]]
    labels = read(archive(plain(categories=named)))
    assert labels.classes.names == {0: "_background_", 1: "cup", 2: "spoon"}
    assert not labels.items[0].mask[0, 0]


# Names of images


def test_images_of_one_name_in_different_folders_keep_their_labels() -> None:
    document = coco(["left/0001.png", "right/0001.png"], BOTH)
    files = {**pictures("images/left/0001.png", "images/right/0001.png"), "annotations.json": document}
    assert shares(read(files)) == {"left/0001": {"cup": 256}, "right/0001": {"spoon": 484}}


def test_labels_never_land_on_the_image_of_another_folder() -> None:
    document = coco(["left/0001.png", "left/0002.png"], BOTH)
    files = {**pictures("left/0001.png", "left/0002.png", "right/0001.png", "right/0002.png"), "a.json": document}
    labels = read(files)
    assert shares(labels) == {"0001": {"cup": 256}, "0002": {"spoon": 484}}
    assert "2 pictures that no annotation file lists are left aside" in notes(labels)
    del files["left/0001.png"], files["left/0002.png"]
    document["images"][0]["file_name"] = "right/0001.png"
    document["images"][1]["file_name"] = "left/0001.png"
    assert "lists the image 'left/0001.png', which the archive does not hold" in problems(files)[0]


def test_the_path_of_coco_annotator_settles_equal_names() -> None:
    rows = [
        {"id": n, "file_name": "0001.png", "path": f"/datasets/{folder}/0001.png", "width": SIDE, "height": SIDE}
        for n, folder in enumerate(("left", "right"), 1)
    ]
    files = {**pictures("left/0001.png", "right/0001.png"), "a.json": coco(rows, BOTH)}
    assert shares(read(files)) == {"left/0001": {"cup": 256}, "right/0001": {"spoon": 484}}


def test_images_known_by_their_address_alone_are_found() -> None:
    rows = [
        {"id": n, "coco_url": f"http://h.example/val/{one}.png", "width": SIDE, "height": SIDE}
        for n, one in ((1, "a"), (2, "b"))
    ]
    assert shares(read(archive(coco(rows, BOTH)))) == RIGHT


def test_a_missing_image_is_the_only_problem() -> None:
    document = coco(["a.png", "b.png", "gone.png"], [*BOTH, (3, 1, SQUARE)])
    assert problems(archive(document)) == [
        "annotations.json: lists the image 'gone.png', which the archive does not hold"
    ]


# Ids


@pytest.mark.parametrize("kind", ["images", "annotations", "categories"])
def test_duplicate_ids_are_refused_by_id(kind: str) -> None:
    document = plain()
    document[kind][1]["id"] = "1"
    found = problems(archive(document))
    assert f"annotations.json: has the {kind.removesuffix('s').replace('ie', 'y')} id '1' twice" in found[0]


def test_one_image_under_two_ids_is_refused() -> None:
    assert "lists the image images/a.png twice, with the ids 1 and 3" in str(
        problems(archive(coco(["a.png", "b.png", "images/a.png"], BOTH)))
    )


def test_annotations_of_an_image_that_is_not_listed_are_refused() -> None:
    assert problems(archive(coco(["a.png", "b.png"], [*BOTH, (77, 1, SQUARE)]))) == [
        "annotations.json: annotates the image 77, which it does not list"
    ]


# Loose numbers and text


def test_numbers_may_be_written_as_text_or_with_a_point() -> None:
    text = json.dumps(plain())
    for old, new in (
        ('"image_id": 1,', '"image_id": "1",'),
        ('"image_id": 2,', '"image_id": 2.0,'),
        ('"category_id": 1,', '"category_id": "1.0",'),
        ('"width": 32', '"width": "32"'),
        ('"height": 32', '"height": 32.0'),
        ("[[4, 4,", '[["4", 4.0,'),
    ):
        assert old in text
        text = text.replace(old, new)
    assert shares(read(archive(b"\xef\xbb\xbf" + text.encode()))) == RIGHT


@pytest.mark.parametrize(
    "written",
    [
        SQUARE,
        [[[4, 4], [20, 4], [20, 20], [4, 20]]],
        [[4, 4], [20, 4], [20, 20], [4, 20]],
        [SQUARE, []],
    ],
)
def test_polygons_are_read_however_they_are_nested(written: Any) -> None:
    document = plain()
    document["annotations"][0]["segmentation"] = written
    assert shares(read(archive(document))) == RIGHT


def test_run_lengths_of_a_crowd_are_read() -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
    mask[4:20, 4:20] = 1
    flat = mask.ravel(order="F")
    counts = np.diff([0, *np.flatnonzero(np.diff(flat)) + 1, flat.size]).tolist()
    for lengths in (counts, pycocotools.mask.encode(mask)["counts"].decode()):
        document = plain()
        document["annotations"][0] |= {"iscrowd": 1, "segmentation": {"size": ["32", 32.0], "counts": lengths}}
        assert shares(read(archive(document))) == RIGHT


def test_empty_lists_of_keypoints_are_none() -> None:
    categories = [{"id": 1, "name": "cup", "keypoints": [], "skeleton": []}, {"id": 2, "name": "spoon"}]
    labels = read(archive(plain(categories=categories)))
    assert (shares(labels), labels.keypoints) == (RIGHT, None)


def test_figures_without_keypoints_have_none() -> None:
    person = [{"id": 1, "name": "person", "keypoints": ["nose", "chin"]}]
    rows = [
        {"id": n, "image_id": image, "category_id": 1, "keypoints": points}
        for n, (image, points) in enumerate([(1, [5, 6, 2, "7", 8.0, 1]), (1, []), (1, [0] * 6), (2, None)])
    ]
    labels = read(archive(coco(["a.png", "b.png"], rows, person)))
    assert labels.items[0].keypoints.tolist() == [[5, 6, 2], [7, 8, 1]]
    assert not labels.items[1].keypoints.any()
    rows[0]["keypoints"] = [5, 6, 1.5, 7, 8, 1]
    (problem,) = problems(archive(coco(["a.png", "b.png"], rows, person)))
    assert "annotation 0: a keypoint whose visibility is none of 0, 1, 2" in problem


def test_sizes_that_are_absent_agree_with_any() -> None:
    document = plain()
    del document["images"][0]["width"], document["images"][0]["height"]
    document["images"][1] |= {"width": 0, "height": 0}
    assert shares(read(archive(document))) == RIGHT


def test_utf_16_and_damaged_files_are_named() -> None:
    assert problems(archive(json.dumps(plain()).encode("utf-16"))) == [
        "annotations.json: is UTF-16 text: save it as UTF-8"
    ]
    files = {**archive(plain()), "second.json": json.dumps(plain()).encode()[:-9]}
    (problem,) = problems(files)
    assert problem.startswith("second.json: not valid JSON")


def test_a_folder_of_masks_without_a_class_map_does_not_hide_the_annotations() -> None:
    files = {**archive(plain()), **pictures("masks/a.png", "masks/b.png")}
    assert shares(read(files)) == RIGHT


# What is no outline


def test_boxes_beside_polygons_are_ignored_not_background() -> None:
    document = plain()
    document["annotations"] += [
        {"id": 3, "image_id": 1, "category_id": 2, "segmentation": [], "bbox": [22, 22, 4, 5]},
        {"id": 4, "image_id": 2, "category_id": 1, "segmentation": None, "bbox": [0, 0, 10, 10]},
    ]
    labels = read(archive(document))
    assert shares(labels) == {"a": {"cup": 256, "ignored": 20}, "b": {"spoon": 484, "ignored": 100 - 4}}
    assert "boxes without segmentation are ignored" in notes(labels)


def test_boxes_alone_are_refused() -> None:
    document = plain()
    for row in document["annotations"]:
        row |= {"segmentation": [], "bbox": [1, 1, 5, 5]}
    assert problems(archive(document)) == [
        "annotations.json: has neither segmentation nor keypoints: boxes alone are not supported as labels"
    ]


def test_an_image_without_annotations_is_background_with_a_note() -> None:
    files = {**pictures("a.png", "b.png", "c.png"), "a.json": coco(["a.png", "b.png", "c.png"], BOTH)}
    labels = read(files)
    assert shares(labels) == {**RIGHT, "c": {}}
    assert "c.png: without any annotation, every pixel is background" in notes(labels)


def test_pixels_without_any_shape_are_ignored_where_background_is_drawn() -> None:
    """A file that draws all classes, as exports of masks do, has no shape where a pixel was ignored."""
    categories = [{"id": 0, "name": "background"}, {"id": 1, "name": "cup"}]
    border = [0, 0, 32, 0, 32, 28, 0, 28]
    rows = [(1, 0, border), (1, 1, SQUARE), (2, 0, border)]
    files = {**pictures("a.png", "b.png", "c.png"), "a.json": coco(["a.png", "b.png", "c.png"], rows, categories)}
    labels = read(files)
    assert shares(labels) == {"a": {"cup": 256, "ignored": 128}, "b": {"ignored": 128}, "c": {"ignored": 1024}}
    assert "background is drawn: pixels without any shape are ignored" in notes(labels)


def test_a_hole_drawn_as_background_leaves_the_rest_background() -> None:
    categories = [{"id": 0, "name": "background"}, {"id": 1, "name": "cup"}]
    hole = [6, 6, 8, 6, 8, 8, 6, 8]
    files = {
        **pictures("a.png", "b.png"),
        "a.json": coco(["a.png", "b.png"], [(1, 1, SQUARE), (1, 0, hole), (2, 1, SQUARE)], categories),
    }
    assert shares(read(files)) == {"a": {"cup": 252}, "b": {"cup": 256}}


def test_a_size_before_exif_orientation_is_named() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    document = plain()
    document["images"][0] |= {"width": 32, "height": 24}
    files = {**archive(document), "images/a.png": picture(photograph(9, 24, 32), exif=exif)}
    (problem,) = problems(files)
    assert "is 24 x 32, and annotations.json has 32 x 24" in problem
    assert "EXIF" in problem


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"shapes": [], "imagePath": "a.png", "imageData": None}, "labelme"),
        ({"_via_img_metadata": {}}, "VGG Image Annotator"),
        (
            {"images": [{}], "categories": [], "annotations": [{"segments_info": [], "image_id": 1}]},
            "COCO panoptic",
        ),
    ],
)
def test_own_formats_of_other_tools_are_named(document: Any, words: str) -> None:
    (problem,) = problems(archive(document))
    assert words in problem
