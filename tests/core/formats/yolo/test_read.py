"""Label files of YOLO as tools write them; those of its other tasks are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.core.datasets.archives import photograph, picture
from tests.core.formats.test_readers import read, refused

SQUARE = "0.125 0.125 0.625 0.125 0.625 0.625 0.125 0.625"
TRIANGLE = "0.5 0.5 0.9 0.5 0.9 0.9"
SIDE = 16


def files(texts: Mapping[str, str | bytes], **others: bytes) -> dict[str, bytes]:
    """An image for each text, by its path in ``labels/`` without suffix, and other files."""
    found: dict[str, bytes] = {}
    for number, (name, text) in enumerate(texts.items()):
        found[f"images/{name}.png"] = picture(photograph(number, SIDE, SIDE))
        found[f"labels/{name}.txt"] = text.encode() if isinstance(text, str) else text
    return found | {name.replace("__", "."): content for name, content in others.items()}


def square() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[2:10, 2:10] = True
    return mask


def told(tmp_path: Path, given: Mapping[str, bytes]) -> str:
    """The one problem."""
    ((_, detail),) = refused(tmp_path, given)
    return detail


YAML = b"names: {0: cup, 1: spoon}\n"
TEXTS = {"a": f"0 {SQUARE}\n", "b": f"1 {TRIANGLE}\n"}


@pytest.mark.parametrize("first", [f"\ufeff0 {SQUARE}", f"0.0 {SQUARE}", f"  0 {SQUARE}  \r\n\r\n"])
def test_loosely_written_lines_are_read(tmp_path: Path, first: str) -> None:
    labels = read(tmp_path, files({**TEXTS, "a": first}, data__yaml=YAML))
    np.testing.assert_array_equal(labels.items[0].mask == 0, square())


def test_an_image_without_a_text_file_is_background_with_a_note(tmp_path: Path) -> None:
    given = files(TEXTS, data__yaml=YAML)
    given["images/c.png"] = picture(photograph(9, SIDE, SIDE))
    given["images/unlabelled/d.png"] = picture(photograph(10, SIDE, SIDE))
    labels = read(tmp_path, given)
    assert [item.name for item in labels.items] == ["a", "b", "c"]
    assert {labels.classes.name(int(one)) for one in np.unique(labels.items[2].mask)} == {"background"}
    notes = " | ".join(note.text for note in labels.notes)
    assert "background, as YOLO has images without a text file: images/c.png" in notes
    assert "left aside, as no image in its folder has a text file: images/unlabelled/d.png" in notes


def test_equal_names_in_two_splits_are_two_images(tmp_path: Path) -> None:
    given = files({"train/1": TEXTS["a"], "val/1": TEXTS["b"]}, data__yaml=YAML)
    labels = read(tmp_path, given)
    shown = {item.name: set(np.unique(item.mask).tolist()) for item in labels.items}
    assert shown == {"train/1": {0, 2}, "val/1": {1, 2}}


def test_text_files_beside_their_images_are_read(tmp_path: Path) -> None:
    given = {name.partition("/")[2]: content for name, content in files(TEXTS).items()}
    labels = read(tmp_path, {**given, "obj.names": b"cup\nspoon\n"})
    np.testing.assert_array_equal(labels.items[0].mask == 0, square())
    assert labels.classes.names[0] == "cup"


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("data.yaml", b"names: [no, yes]", ("no", "yes")),
        ("coco8-seg.yaml", b"path: x\nnames:\n  0: off\n  1: 1.0\n", ("off", "1.0")),
        ("data.yml", "names: {'0': tässchen, 1: null}".encode(), ("tässchen", "null")),
        ("classes.txt", b"\xef\xbb\xbfcup\r\nspoon\r\n", ("cup", "spoon")),
        ("labels/classes.txt", b"cup\nspoon\n", ("cup", "spoon")),
        ("obj.names", b"cup\nspoon", ("cup", "spoon")),
        ("class_names.txt", b"0: cup\n1: spoon\n", ("cup", "spoon")),
    ],
)
def test_class_names_are_found_where_tools_write_them(
    tmp_path: Path, name: str, content: bytes, names: tuple[str, str]
) -> None:
    labels = read(tmp_path, {**files(TEXTS), name: content})
    assert (labels.classes.names[0], labels.classes.names[1]) == names


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"data.yaml": YAML, "old.yaml": b"names: [spoon, cup]"}, "names other classes than data.yaml"),
        ({"data.yaml": b"names: {0: cup, 0: spoon}"}, "class 0 is named twice: 'cup' and 'spoon'"),
        ({"data.yaml": b"names: {cup: 0}"}, "the class id 'cup' is not a whole number"),
        ({"data.yaml": b"names: [[cup]]"}, "the name of class 0 is not text"),
        ({"classes.txt": "cup\nspoon\n".encode("utf-16")}, "UTF-16"),
    ],
)
def test_unclear_class_names_are_refused(tmp_path: Path, others: dict[str, bytes], words: str) -> None:
    assert any(words in detail for _, detail in refused(tmp_path, {**files(TEXTS), **others}))


POSE = "0 0.5 0.5 0.4 0.4 0.4 0.4 2 0.6 0.6 2 0 0 0"
BOX = "0 0.5 0.5 0.4 0.4"
TILTED = "0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5"


@pytest.mark.parametrize(
    ("line", "yaml", "words"),
    [
        (POSE, b"kpt_shape: [3, 3]\nnames: [face]\n", "YOLO pose (kpt_shape in its YAML)"),
        (POSE, b"names: [face]\n", "YOLO pose: a box and keypoints"),
        ("0 0.5 0.5 0.4 0.4 0.4 0.4 0.6 0.6 0.5 0.45", b"names: [face]\n", "YOLO pose"),
        (BOX, b"names: [cup]\n", "YOLO detection: boxes only"),
        (f"{BOX} 0.97", b"names: [cup]\n", "YOLO detection: boxes only"),
        (TILTED, b"names: [cup]\n", "YOLO OBB"),
        (f"0 {SQUARE}", b"task: obb\nnames: [cup]\n", "YOLO OBB"),
        ("2 2 9 2 9 9 2 9 cup 0", b"names: [cup]\n", "DOTA"),
    ],
)
def test_labels_of_other_tasks_are_refused_by_name(tmp_path: Path, line: str, yaml: bytes, words: str) -> None:
    assert words in told(tmp_path, files({"a": line, "b": f"{line}\n{line}"}, data__yaml=yaml))


@pytest.mark.parametrize("lines", [(SQUARE, SQUARE), (TRIANGLE, "0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5")])
def test_polygons_of_four_corners_are_no_oriented_boxes(tmp_path: Path, lines: tuple[str, str]) -> None:
    read(tmp_path, files({"a": f"0 {lines[0]}", "b": f"1 {lines[1]}"}, data__yaml=YAML))


def test_a_box_among_polygons_is_ignored_with_a_note(tmp_path: Path) -> None:
    labels = read(tmp_path, files({"a": f"0 {SQUARE}\n1 0.8 0.8 0.25 0.25\n", "b": TEXTS["b"]}, data__yaml=YAML))
    assert (labels.items[0].mask == 255).sum() == 16
    assert any("a box among polygons: its pixels are ignored" in note.text for note in labels.notes)


@pytest.mark.parametrize(
    ("scale", "guess"), [(SIDE, "pixels or percent"), (100, "pixels or percent"), (1000, "pixels.")]
)
def test_pixels_where_shares_are_expected_are_named(tmp_path: Path, scale: int, guess: str) -> None:
    texts = {name: f"0 {' '.join(str(scale * float(one)) for one in SQUARE.split())}" for name in "ab"}
    detail = told(tmp_path, files(texts, data__yaml=YAML))
    assert "where fractions of the size (0 to 1) are expected" in detail
    assert guess in detail
    assert "2 such lines" in detail


def test_a_polygon_beyond_the_border_is_clipped(tmp_path: Path) -> None:
    labels = read(tmp_path, files({**TEXTS, "a": "0 -1 0 0.5 0.5 -1 1"}, data__yaml=YAML))
    # The part of the triangle within the image, as pycocotools fills it.
    assert 15 <= (labels.items[0].mask == 0).sum() <= 25


def test_utf16_text_is_named(tmp_path: Path) -> None:
    problems = refused(tmp_path, files({**TEXTS, "a": TEXTS["a"].encode("utf-16")}, data__yaml=YAML))
    assert problems == [("labels/a.txt", "is UTF-16 or binary: save it as UTF-8 text")]
