"""Each foreign format, as its own tools write it, gives the masks that were drawn; what is wrong is named."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

from core.errors import LabelSetError
from core.label_sets.label_set import LabelSet
from core.label_sets.palette import voc_colours
from core.label_sets.reading.reader import read_label_set
from tests.core.datasets.archives import photograph, picture, write_zip

HEIGHT, WIDTH = 12, 16
BOX = (slice(2, 9), slice(3, 11))
SPOT = (slice(4, 6), slice(5, 7))
STEMS = ("a", "b", "c")


def drawn(background: int = 0, box: int = 1, spot: int = 2) -> np.ndarray:
    """A spot on a box on a background."""
    mask = np.full((HEIGHT, WIDTH), background, np.uint8)
    mask[BOX], mask[SPOT] = box, spot
    return mask


def corners(where: tuple[slice, slice]) -> list[list[float]]:
    rows, columns = where
    left, right, top, bottom = columns.start, columns.stop, rows.start, rows.stop
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def photographs(folder: str, suffix: str = ".jpg") -> dict[str, bytes]:
    return {f"{folder}{stem}{suffix}": picture(photograph(n, HEIGHT, WIDTH)) for n, stem in enumerate(STEMS)}


def read(tmp_path: Path, files: Mapping[str, bytes]) -> LabelSet:
    return read_label_set(write_zip(tmp_path / "labels.zip", files), tmp_path / "into")


def refused(tmp_path: Path, files: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Pointer and detail of every problem."""
    with pytest.raises(LabelSetError) as caught:
        read(tmp_path, files)
    return [(problem.pointer, problem.detail) for problem in caught.value.problems]


def assert_drawn(labels: LabelSet, expected: np.ndarray, names: Mapping[int, str], format: str) -> None:
    assert [item.name for item in labels.items] == list(STEMS)
    for number, item in enumerate(labels.items):
        np.testing.assert_array_equal(item.mask, expected)
        np.testing.assert_array_equal(item.image, photograph(number, HEIGHT, WIDTH))
    assert dict(labels.classes.names) == dict(names)
    assert format in labels.detected_format
    guessed = [note.text for note in labels.notes if note.text.startswith("class map guessed")]
    assert len(guessed) == 1, "what was guessed is shown"
    assert all(name in guessed[0] for name in names.values())


def coco_document(shapes: str = "polygon") -> dict[str, Any]:
    def segmentation(where: tuple[slice, slice]) -> Any:
        if shapes == "polygon":
            return [[number for point in corners(where) for number in point]]
        mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
        mask[where] = 1
        if shapes == "compressed":
            found = pycocotools.mask.encode(mask)
            return {"size": [HEIGHT, WIDTH], "counts": found["counts"].decode()}
        flat = mask.ravel(order="F")
        bounds = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff(np.concatenate([[0], bounds, [flat.size]])).tolist()
        return {"size": [HEIGHT, WIDTH], "counts": counts}

    images = [
        {"id": 10 + n, "file_name": f"{stem}.jpg", "height": HEIGHT, "width": WIDTH} for n, stem in enumerate(STEMS)
    ]
    annotations = []
    for image in images:
        for category, where in ((7, SPOT), (3, BOX)):
            row = {"id": len(annotations), "image_id": image["id"], "category_id": category, "iscrowd": 0}
            annotations.append({**row, "segmentation": segmentation(where)})
    categories = [{"id": 3, "name": "box"}, {"id": 7, "name": "spot"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco_files(document: Any) -> dict[str, bytes]:
    return {**photographs("val2017/"), "annotations/instances.json": json.dumps(document).encode()}


@pytest.mark.parametrize("shapes", ["polygon", "compressed", "uncompressed"])
def test_coco(tmp_path: Path, shapes: str) -> None:
    labels = read(tmp_path, coco_files(coco_document(shapes)))
    assert_drawn(labels, drawn(0, 3, 7), {0: "background", 3: "box", 7: "spot"}, "COCO")


def test_coco_keypoints(tmp_path: Path) -> None:
    document = coco_document()
    document["categories"] = [{"id": 1, "name": "person", "keypoints": ["nose", "tail"]}]
    first, second = document["images"][0]["id"], document["images"][1]["id"]
    document["annotations"] = [
        {"id": 1, "image_id": first, "category_id": 1, "keypoints": [3, 4, 2, 0, 0, 0], "area": 5},
        {"id": 2, "image_id": first, "category_id": 1, "keypoints": [5, 6, 1, 7.5, 8, 2], "area": 3},
        {"id": 3, "image_id": second, "category_id": 1, "keypoints": [1, 1, 2, 2, 2, 2], "area": 3},
    ]
    labels = read(tmp_path, coco_files(document))
    assert labels.keypoints is not None
    assert labels.keypoints.names == ("nose", "tail")
    points = [item.keypoints.tolist() for item in labels.items if item.keypoints is not None]
    assert points == [[[5, 6, 1], [7.5, 8, 2]], [[1, 1, 2], [2, 2, 2]], [[0, 0, 0], [0, 0, 0]]]
    assert any("2 figures" in note.text for note in labels.notes)


def test_every_problem_of_a_coco_file_is_named_at_once(tmp_path: Path) -> None:
    document = coco_document()
    document["annotations"][0]["category_id"] = 99
    document["annotations"][1]["segmentation"] = [[1, 2, 3]]
    document["annotations"][2]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [1, 2]}
    document["annotations"][3]["segmentation"] = [[1, 2, 3, 4, float("nan"), 6]]
    document["annotations"][4]["image_id"] = 4711
    document["images"][2]["height"] = 99
    document["images"].append({"id": 1, "file_name": "none.jpg", "height": 1, "width": 1})
    problems = refused(tmp_path, coco_files(document))
    for pointer, words in (
        ("annotations/instances.json", "unknown category 99"),
        ("annotations/instances.json", "at least three points"),
        ("annotations/instances.json", "cover 3 pixels where there are 192"),
        ("annotations/instances.json", "NaN"),
        ("annotations/instances.json", "4711"),
        ("annotations/instances.json", "none.jpg"),
        ("val2017/c.jpg", "has 16 x 99"),
    ):
        assert any(pointer == at and words in detail for at, detail in problems), words
    assert len(problems) == 7


def voc_files(labelmap: bool = False, painted: bool = False) -> dict[str, bytes]:
    files = photographs("VOC2012/JPEGImages/")
    colours = voc_colours()
    for stem in STEMS:
        mask = drawn(0, 15, 255) if not labelmap else drawn(0, 1, 2)
        if painted:
            content = picture(colours[mask])
        else:
            image = Image.fromarray(mask)
            image.putpalette(colours.tobytes())
            content = picture(image)
        files[f"VOC2012/SegmentationClass/{stem}.png"] = content
    if labelmap:
        files["VOC2012/labelmap.txt"] = b"# label:color_rgb:parts:actions\nbg:0,0,0::\nbox:128,0,0::\nspot:0,128,0::\n"
    return files


def test_voc(tmp_path: Path) -> None:
    labels = read(tmp_path, voc_files())
    np.testing.assert_array_equal(labels.items[0].mask, drawn(0, 15, 255))
    assert labels.classes.names[15] == "person"
    assert labels.classes.ignore_index == 255
    assert "Pascal VOC" in labels.detected_format


@pytest.mark.parametrize("painted", [False, True])
def test_voc_with_a_labelmap(tmp_path: Path, painted: bool) -> None:
    labels = read(tmp_path, voc_files(labelmap=True, painted=painted))
    assert_drawn(labels, drawn(), {0: "bg", 1: "box", 2: "spot"}, "Pascal VOC")


@pytest.mark.parametrize(("kind", "box", "name"), [("Ids", 24, "person"), ("TrainIds", 11, "person")])
def test_cityscapes(tmp_path: Path, kind: str, box: int, name: str) -> None:
    files = {}
    for number, stem in enumerate(STEMS):
        files[f"leftImg8bit/train/aachen/{stem}_leftImg8bit.png"] = picture(photograph(number, HEIGHT, WIDTH))
        files[f"gtFine/train/aachen/{stem}_gtFine_label{kind}.png"] = picture(drawn(0, box, 255))
    labels = read(tmp_path, files)
    np.testing.assert_array_equal(labels.items[1].mask, drawn(0, box, 255))
    assert labels.classes.names[box] == name
    assert "Cityscapes" in labels.detected_format


def test_camvid_in_colours(tmp_path: Path) -> None:
    files = photographs("701_StillsRaw_full/", ".png")
    table = np.array([(64, 128, 64), (192, 0, 128), (0, 0, 0)], np.uint8)
    files |= {f"LabeledApproved_full/{stem}_L.png": picture(table[drawn()]) for stem in STEMS}
    files["label_colors.txt"] = b"64 128 64\tAnimal\n192 0 128\t\tArchway\n0 0 0\tVoid\n"
    labels = read(tmp_path, files)
    assert_drawn(labels, drawn(0, 1, 255), {0: "Animal", 1: "Archway"}, "CamVid")
    files["LabeledApproved_full/b_L.png"] = picture(np.full((HEIGHT, WIDTH, 3), 9, np.uint8))
    problem = "has 1 colours that are no class: (9, 9, 9); label_colors.txt names the colours"
    assert ("LabeledApproved_full/b_L.png", problem) in refused(tmp_path, files)


def test_camvid_as_segnet_has_it(tmp_path: Path) -> None:
    files = photographs("CamVid/train/", ".png")
    files |= {f"CamVid/trainannot/{stem}.png": picture(drawn(0, 1, 11)) for stem in STEMS}
    labels = read(tmp_path, files)
    np.testing.assert_array_equal(labels.items[2].mask, drawn(0, 1, 11))
    assert (labels.classes.ignore_index, labels.classes.names[8]) == (11, "car")


def test_celebamask(tmp_path: Path) -> None:
    files = {}
    for number in (7, 12):
        files[f"CelebAMask-HQ/CelebA-HQ-img/{number}.jpg"] = picture(photograph(number, HEIGHT, WIDTH))
        for part, where in (("skin", BOX), ("hair", SPOT)):
            half = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            half[where] = 255
            name = f"CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/{number:05d}_{part}.png"
            files[name] = picture(half if part == "skin" else half[:, :, 0])
    labels = read(tmp_path, files)
    assert [item.name for item in labels.items] == ["12", "7"]
    np.testing.assert_array_equal(labels.items[0].mask, drawn(0, 1, 13))
    assert (labels.classes.names[1], labels.classes.names[13]) == ("skin", "hair")
    files[name] = picture(np.full((5, 5), 255, np.uint8))
    assert any("not an integer fraction" in detail for at, detail in refused(tmp_path, files) if at == name)


def test_celebamask_parts_of_half_the_size(tmp_path: Path) -> None:
    files = {}
    for number in (0, 1):
        files[f"img/{number}.jpg"] = picture(photograph(number, 8, 8))
        files[f"anno/{number:05d}_hair.png"] = picture(np.diag([255] * 4).astype(np.uint8))
    labels = read(tmp_path, files)
    np.testing.assert_array_equal(labels.items[0].mask, 13 * np.kron(np.eye(4, dtype=np.uint8), np.ones((2, 2))))


def yolo_files() -> dict[str, bytes]:
    files = photographs("images/train/")
    lines = []
    for class_id, where in ((0, BOX), (1, SPOT)):
        numbers = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in corners(where))
        lines.append(f"{class_id} {numbers}\n")
    files |= {f"labels/train/{stem}.txt": "".join(lines).encode() for stem in STEMS}
    return {**files, "data.yaml": b"names: [box, spot]\nnc: 2\n"}


def test_yolo(tmp_path: Path) -> None:
    assert_drawn(
        read(tmp_path, yolo_files()), drawn(2, 0, 1), {0: "box", 1: "spot", 2: "background"}, "YOLO segmentation"
    )


def test_yolo_problems(tmp_path: Path) -> None:
    files = yolo_files()
    files["labels/train/a.txt"] = b"9 0 0 1 0 1 1\n0 .5 .5 .1 .1\n0 0 0 x 0 1 1\n0 0 0 1 0 1\n"
    del files["images/train/b.jpg"], files["labels/train/c.txt"]
    problems = refused(tmp_path, files)
    assert [at for at, _ in problems].count("labels/train/a.txt") == 3
    assert any(
        at == "labels/train/b.txt" and "has no image of the same name in images/" in told for at, told in problems
    )
    assert len(problems) == 4


def cvat_files(shape: str = "polygon") -> dict[str, bytes]:
    rows = []
    for stem in STEMS:
        shapes = []
        for z, (label, where) in enumerate((("box", BOX), ("spot", SPOT))):
            rows_, columns = where
            if shape == "polygon":
                points = ";".join(f"{x},{y}" for x, y in corners(where))
                shapes.insert(0, f'<polygon label="{label}" points="{points}" z_order="{z}"/>')
            else:
                height, width = rows_.stop - rows_.start, columns.stop - columns.start
                place = f'left="{columns.start}" top="{rows_.start}" width="{width}" height="{height}"'
                shapes.insert(0, f'<mask label="{label}" rle="0, {height * width}" {place} z_order="{z}"/>')
        rows.append(f'<image id="0" name="{stem}.jpg" width="{WIDTH}" height="{HEIGHT}">{"".join(shapes)}</image>')
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("box", "spot"))
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    xml = f"<?xml version='1.0'?><annotations>{meta}{''.join(rows)}</annotations>"
    return {**photographs("images/"), "annotations.xml": xml.encode()}


@pytest.mark.parametrize("shape", ["polygon", "mask"])
def test_cvat(tmp_path: Path, shape: str) -> None:
    assert_drawn(read(tmp_path, cvat_files(shape)), drawn(), {0: "background", 1: "box", 2: "spot"}, "CVAT")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_grows_is_refused_before_it_does(tmp_path: Path, encoding: str) -> None:
    files = cvat_files()
    bomb = "<?xml version='1.0'?><!DOCTYPE annotations [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><annotations>&b;"
    files["annotations.xml"] = (bomb + "</annotations>").encode(encoding)
    problems = refused(tmp_path, files)
    assert ("annotations.xml", "is not readable as XML: it holds a document type definition") in problems


def test_cvat_problems(tmp_path: Path) -> None:
    files = cvat_files("mask")
    text = files["annotations.xml"].decode()
    text = text.replace('label="spot"', 'label="stain"', 1).replace('left="3"', 'left="14"', 1)
    files["annotations.xml"] = text.replace('rle="0, 4"', 'rle="0, 5"', 2).encode()
    details = [detail for _, detail in refused(tmp_path, files)]
    assert any("unknown label 'stain'" in one for one in details)
    assert any("outside of the image" in one for one in details)
    assert any("run lengths" in one for one in details)


def packed(values: np.ndarray) -> list[int]:
    """Bytes as Label Studio packs them: 8 bits a value, run lengths of 3, 4, 8 or 16 bits, written bit by bit."""
    bits = f"{values.size:032b}" + f"{7:05b}" + "".join(f"{one - 1:04b}" for one in (3, 4, 8, 16))
    at = 0
    while at < values.size:
        end = at + 1
        while end < values.size and values[end] == values[at] and end - at < 256:
            end += 1
        if end - at > 1:
            bits += "1" + "10" + f"{end - at - 1:08b}" + f"{values[at]:08b}"
        else:
            bits += "0" + "00" + "000" + f"{values[at]:08b}"
        at = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def label_studio_files(kind: str = "polygonlabels") -> dict[str, bytes]:
    tasks = []
    for number, stem in enumerate(STEMS):
        result: list[dict[str, Any]] = []
        for label, where in (("box", BOX), ("spot", SPOT)):
            value: dict[str, Any] = {kind: [label]}
            if kind == "polygonlabels":
                value["points"] = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners(where)]
            else:
                pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
                pixels[where] = (7, 8, 9, 255)
                value |= {"format": "rle", "rle": packed(pixels.ravel())}
            region = {"type": kind, "original_width": WIDTH, "original_height": HEIGHT, "value": value}
            result.append({"id": label, **region})
        data = {"image": f"/data/upload/1/{stem}.jpg"}
        tasks.append({"id": number, "data": data, "annotations": [{"was_cancelled": False, "result": result}]})
    return {**photographs("images/"), "project.json": json.dumps(tasks).encode()}


@pytest.mark.parametrize("kind", ["polygonlabels", "brushlabels"])
def test_label_studio(tmp_path: Path, kind: str) -> None:
    labels = read(tmp_path, label_studio_files(kind))
    assert_drawn(labels, drawn(), {0: "background", 1: "box", 2: "spot"}, "Label Studio")


def test_label_studio_problems(tmp_path: Path) -> None:
    files = label_studio_files("brushlabels")
    tasks = json.loads(files["project.json"])
    first, second = tasks[0]["annotations"][0]["result"], tasks[1]["annotations"][0]["result"]
    first[0]["value"]["rle"] = first[0]["value"]["rle"][:20]
    first[1]["original_width"] = 99
    second[0]["value"]["rle"][0] = 255
    tasks[2]["data"] = {"image": "elsewhere.jpg"}
    files["project.json"] = json.dumps(tasks).encode()
    details = " | ".join(detail for _, detail in refused(tmp_path, files))
    for words in ("break off", "was drawn on 99 x 12", "its strokes cover", "elsewhere.jpg"):
        assert words in details


def test_the_callers_class_map_collapses_classes(tmp_path: Path) -> None:
    files = coco_files(coco_document())
    guide = {"classes": ["nothing", "thing"], "sources": {"background": "nothing", "box": "thing", "7": 255}}
    files["classes.json"] = json.dumps(guide).encode()
    labels = read(tmp_path, files)
    np.testing.assert_array_equal(labels.items[0].mask, drawn(0, 1, 255))
    assert dict(labels.classes.names) == {0: "nothing", 1: "thing"}
    assert any("box → thing" in note.text for note in labels.notes)


def test_a_class_without_a_place_is_named(tmp_path: Path) -> None:
    files = voc_files(labelmap=True)
    files["VOC2012/classes.json"] = json.dumps({"classes": ["bg", "thing"], "sources": {"box": "think"}}).encode()
    assert any("'think', which is no class here" in detail for _, detail in refused(tmp_path, files))
    files["VOC2012/classes.json"] = json.dumps({"classes": ["bg", "thing"], "sources": {"box": "thing"}}).encode()
    problems = refused(tmp_path, files)
    assert ("VOC2012/classes.json", "has no target for the class 2 'spot': add it to sources") in problems


def test_two_formats_in_one_archive_are_not_guessed_between(tmp_path: Path) -> None:
    ((pointer, detail),) = refused(tmp_path, {**yolo_files(), **coco_files(coco_document())})
    assert pointer == "labels.zip"
    assert "COCO by annotations/instances.json; YOLO segmentation by" in detail


def test_what_is_no_format_is_told_which_there_are(tmp_path: Path) -> None:
    problems = refused(tmp_path, {"a.txt": b"x", "b.json": b"[1]"})
    assert any("is not our layout" in detail and "Label Studio JSON" in detail for _, detail in problems)


def test_the_orientation_of_a_photograph_counts(tmp_path: Path) -> None:
    """Shapes are drawn on the upright image; the file lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    files = yolo_files()
    for number, stem in enumerate(STEMS):
        lying = Image.fromarray(photograph(number, HEIGHT, WIDTH)).rotate(90, expand=True)
        stream = io.BytesIO()
        lying.save(stream, "PNG", exif=exif)
        files[f"images/train/{stem}.jpg"] = stream.getvalue()
    labels = read(tmp_path, files)
    np.testing.assert_array_equal(labels.items[0].mask, drawn(2, 0, 1))
    np.testing.assert_array_equal(labels.items[0].image, photograph(0, HEIGHT, WIDTH))
