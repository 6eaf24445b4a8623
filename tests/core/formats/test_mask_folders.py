"""Folders of masks: which colour is which class, which image a mask belongs to, what is left aside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.formats.mask_folders import CITYSCAPES_IDS, CITYSCAPES_TRAIN_IDS
from core.label_sets.palette import voc_colours
from tests.core.datasets.archives import photograph, picture
from tests.core.formats.test_readers import HEIGHT, WIDTH, drawn, read, refused

LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncup:128,0,0::\nspoon:0,128,0::\n"
COLOURS = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)


def indexed(mask: np.ndarray, palette: np.ndarray) -> bytes:
    image = Image.fromarray(mask)
    image.putpalette(palette.tobytes())
    return picture(image)


def voc(masks: Mapping[str, bytes], **others: str | bytes) -> dict[str, bytes]:
    files = {f"JPEGImages/{stem}.jpg": picture(photograph(n, HEIGHT, WIDTH)) for n, stem in enumerate(masks)}
    files |= {f"SegmentationClass/{stem}.png": content for stem, content in masks.items()}
    named = {name.replace("__", "."): content for name, content in others.items()}
    return files | {name: one.encode() if isinstance(one, str) else one for name, one in named.items()}


def test_colours_of_labelmap_decide_over_the_order_of_a_palette(tmp_path: Path) -> None:
    swapped = COLOURS[[0, 2, 1]]
    masks = {"a": indexed(drawn(0, 2, 1), swapped), "b": indexed(drawn(), COLOURS), "c": picture(COLOURS[drawn()])}
    labels = read(tmp_path, voc(masks, labelmap__txt=LABELMAP))
    for item in labels.items:
        np.testing.assert_array_equal(item.mask, drawn())
    (note,) = [note for note in labels.notes if "the colours decide" in note.text]
    assert note.pointer == "SegmentationClass/a.png"


def test_the_border_of_pascal_voc_is_ignored_in_palette_and_painted_masks(tmp_path: Path) -> None:
    masks = {"a": indexed(drawn(0, 1, 255), voc_colours()), "b": picture(voc_colours()[drawn(0, 1, 255)])}
    labels = read(tmp_path, voc(masks, labelmap__txt=LABELMAP))
    for item in labels.items:
        np.testing.assert_array_equal(item.mask, drawn(0, 1, 255))


def test_grey_values_are_ids_whatever_colours_labelmap_has(tmp_path: Path) -> None:
    grey_ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    masks = {
        "a": picture(drawn()),
        "b": indexed(drawn(), grey_ramp),
        "c": indexed(drawn(), np.zeros((256, 3), np.uint8)),
    }
    labels = read(tmp_path, voc(masks, labelmap__txt=LABELMAP))
    for item in labels.items:
        np.testing.assert_array_equal(item.mask, drawn())


def test_grey_values_that_are_declared_as_colours_are_read_by_them(tmp_path: Path) -> None:
    labelmap = "background:0,0,0::\ncup:128,128,128::\nspoon:255,255,255::\n"
    masks = {"a": picture(drawn(0, 128, 255)), "b": picture(np.repeat(drawn(0, 128, 255)[..., None], 3, 2))}
    for item in read(tmp_path, voc(masks, labelmap__txt=labelmap)).items:
        np.testing.assert_array_equal(item.mask, drawn())


@pytest.mark.parametrize(
    ("mask", "labelmap", "words"),
    [
        (indexed(drawn(), COLOURS + np.uint8(9)), LABELMAP, "its palette has colours that labelmap.txt does not name"),
        (indexed(drawn(), COLOURS[[0, 1, 1]]), LABELMAP, "one colour for several values"),
        (picture(COLOURS[drawn()] + np.uint8(9)), LABELMAP, "has 3 colours that are no class: (9, 9, 9)"),
        (picture(drawn()), "a:0,0,0::\nb:2,2,2::\nc:1,1,1::\n", "may be ids or colours"),
        (indexed(drawn(), voc_colours()[[0, 2, 1]]), None, "colours of Pascal VOC in another order"),
        (picture(drawn()), LABELMAP + "fork:0,128,0::\n", "gives the colour (0, 128, 0) to 'spoon' and to 'fork'"),
        (picture(drawn()), LABELMAP.encode("utf-16"), "UTF-16"),
    ],
)
def test_contradictions_of_colours_are_refused(
    tmp_path: Path, mask: bytes, labelmap: str | bytes | None, words: str
) -> None:
    others: dict[str, str | bytes] = {} if labelmap is None else {"labelmap__txt": labelmap}
    ((_, told),) = refused(tmp_path, voc({"a": mask, "b": mask}, **others))
    assert words in told, "one cause is one problem"


@pytest.mark.parametrize("name", ["void", "ignored"])
def test_a_class_named_like_the_ignore_index_is_a_class(tmp_path: Path, name: str) -> None:
    labelmap = LABELMAP.replace("spoon", name) + "ignored:224,224,192::\n"
    masks = {stem: indexed(drawn(0, 1, 2), voc_colours()) for stem in "ab"}
    labels = read(tmp_path, voc(masks, labelmap__txt=labelmap))
    assert labels.classes.names == {0: "background", 1: "cup", 2: name}
    np.testing.assert_array_equal(labels.items[0].mask, drawn())


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("class_names.txt", "_background_\ncup\nspoon\n", ("background", "cup", "spoon")),
        ("labels.txt", "__ignore__\n_background_\ncup\nspoon\n", ("background", "cup", "spoon")),
        ("meta.yaml", "names: [background, no, spoon]", ("background", "no", "spoon")),
        ("classes.txt", "cup\nspoon\n", ("background", "cup", "spoon")),
    ],
)
def test_class_names_of_mask_folders(tmp_path: Path, name: str, content: str, names: tuple[str, ...]) -> None:
    masks = {stem: indexed(drawn(), voc_colours()) for stem in "ab"}
    labels = read(tmp_path, {**voc(masks), name: content.encode()})
    assert tuple(labels.classes.names.values()) == names


def test_masks_beside_arrays_in_the_layout_of_older_labelme(tmp_path: Path) -> None:
    files = {
        name.replace("Class/", "ClassPNG/"): one
        for name, one in voc({"a": picture(drawn()), "b": picture(drawn())}).items()
    }
    labels = read(tmp_path, {**files, "SegmentationClass/a.npy": b"x", "SegmentationClass/b.npy": b"x"})
    np.testing.assert_array_equal(labels.items[0].mask, drawn())


def test_masks_of_two_sets_with_equal_names_keep_their_own_images(tmp_path: Path) -> None:
    one, other = voc({"a": picture(drawn(0, 1, 2))}), voc({"a": picture(drawn(0, 3, 4))})
    files = {f"VOC2007/{name}": content for name, content in one.items()}
    files |= {f"VOC2012/{name}": content for name, content in other.items()}
    files["VOC2012/JPEGImages/a.jpg"] = picture(photograph(7, HEIGHT, WIDTH))
    labels = read(tmp_path, files)
    for item in labels.items:
        first = np.array_equal(item.image, photograph(0, HEIGHT, WIDTH))
        np.testing.assert_array_equal(item.mask, drawn(0, 1, 2) if first else drawn(0, 3, 4))


def test_cityscapes_sets_that_mix_ids_and_train_ids_are_brought_together(tmp_path: Path) -> None:
    files = {}
    for number, stem in enumerate("ab"):
        files[f"leftImg8bit/train/x/{stem}_leftImg8bit.png"] = picture(photograph(number, HEIGHT, WIDTH))
    files["gtFine/train/x/a_gtFine_labelIds.png"] = picture(drawn(7, 26, 255))
    files["gtFine/train/x/b_gtFine_labelTrainIds.png"] = picture(drawn(0, 13, 255))
    labels = read(tmp_path, files)
    for item in labels.items:
        np.testing.assert_array_equal(item.mask, drawn(7, 26, 255))
    assert any("1 images have labelTrainIds alone" in note.text for note in labels.notes)
    assert all(labels.classes.names[CITYSCAPES_IDS.index(name)] == name for name in CITYSCAPES_TRAIN_IDS)


def test_cityscapes_images_without_a_mask_are_named(tmp_path: Path) -> None:
    files = {
        f"leftImg8bit/{stem}_leftImg8bit.png": picture(photograph(n, HEIGHT, WIDTH)) for n, stem in enumerate("abc")
    }
    files |= {f"gtFine/{stem}_gtFine_labelIds.png": picture(drawn(7, 26, 255)) for stem in "ab"}
    labels = read(tmp_path, files)
    assert any("leftImg8bit/c_leftImg8bit.png" in note.text for note in labels.notes)


def celeba(values: tuple[int, int] = (0, 255)) -> dict[str, bytes]:
    files = {}
    for number in (3, 5):
        files[f"CelebA-HQ-img/{number}.jpg"] = picture(photograph(number, HEIGHT, WIDTH))
        part = np.where(drawn(0, 1, 1) == 1, *map(np.uint8, values[::-1]))
        files[f"mask-anno/{number:05d}_hair.png"] = picture(part)
    return files


@pytest.mark.parametrize("values", [(0, 255), (0, 1)])
def test_celeba_parts_of_0_and_255_or_0_and_1(tmp_path: Path, values: tuple[int, int]) -> None:
    for item in read(tmp_path, celeba(values)).items:
        np.testing.assert_array_equal(item.mask, drawn(0, 13, 13))


def test_two_pictures_of_one_celeba_number_are_not_guessed_between(tmp_path: Path) -> None:
    files = celeba() | {"other/003.png": picture(photograph(9, HEIGHT, WIDTH))}
    assert len(read(tmp_path, files).items) == 2, "the official folder goes first"
    files["elsewhere/3.png"] = files.pop("CelebA-HQ-img/3.jpg")
    ((_, detail),) = refused(tmp_path, files)
    assert "may belong to any of elsewhere/3.png, other/003.png" in detail


def test_boxes_of_pascal_voc_are_refused_by_name(tmp_path: Path) -> None:
    xml = b"<annotation><object><name>cup</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
    files = {"JPEGImages/a.jpg": picture(photograph(0)), "Annotations/a.xml": xml, "Annotations/b.xml": xml}
    ((pointer, detail),) = refused(tmp_path, files)
    assert pointer == "Annotations/a.xml"
    assert "Pascal VOC detection: boxes only" in detail
