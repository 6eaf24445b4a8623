"""Whole label sets: the right ones read, the wrong ones refused with every problem and its file."""

import json

import numpy as np
import pytest
from PIL import Image

from core.callbacks import Stopped
from core.errors import LabelSetError
from core.label_sets.reading.images import PictureLimits
from core.label_sets.reading.reader import read_label_set
from core.label_sets.resize import resize_to
from core.label_sets.storage import load_label_set, save_label_set
from tests.core.datasets.archives import good_files, mask, photograph, picture, write_tar, write_zip


def read(tmp_path, files, write=write_zip, **options):
    return read_label_set(write(tmp_path / "labels.zip", files), tmp_path / "into", **options)


def refused(tmp_path, files, **options):
    with pytest.raises(LabelSetError) as caught:
        read(tmp_path, files, **options)
    assert not (tmp_path / "into" / "entries").exists()
    return sorted((problem.pointer, problem.detail) for problem in caught.value.problems)


@pytest.mark.parametrize("write", [write_zip, write_tar])
@pytest.mark.parametrize("root", ["", "heads/"])
def test_a_good_set(tmp_path, write, root):
    files = {root + name: content for name, content in good_files(3).items()}
    seen = []
    label_set = read(tmp_path, files | {"__MACOSX/x": b"x"}, write, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [item.name for item in label_set.items] == ["000", "001", "002"]
    for number, item in enumerate(label_set.items):
        assert np.array_equal(item.image, photograph(number))
        assert np.array_equal(item.mask, mask(number))
    assert label_set.classes.names == {0: "background", 1: "head", 4: "hat"}
    assert label_set.sizes == {(12, 16): 3}
    assert ("heads" in label_set.detected_format) == bool(root)
    assert [note.text for note in label_set.notes] == ["left aside: __MACOSX/x"]
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == ["pixels.bin"]


def test_the_digest_is_of_the_content_alone(tmp_path):
    files = good_files(3)
    for number in "123":
        (tmp_path / number).mkdir()
    first = read(tmp_path / "1", files).digest
    other = {
        name: picture(photograph(0), "BMP") if name == "images/000.png" else content for name, content in files.items()
    }
    other["images/000.bmp"] = other.pop("images/000.png")
    assert read(tmp_path / "2", {f"top/{name}": content for name, content in other.items()}, write_tar).digest == first
    assert read(tmp_path / "3", files | {"masks/000.png": picture(mask(9))}).digest != first


def test_shares(tmp_path):
    files = good_files(2)
    files["masks/000.png"] = picture(np.zeros((12, 16), np.uint8))
    files["masks/001.png"] = picture(np.repeat(np.array([[0, 1, 255, 255]], np.uint8), 12, 0).repeat(4, 1))
    shares = read(tmp_path, files).shares
    assert shares[0].pixels == pytest.approx((192 + 48) / 288)
    assert [(shares[one].images) for one in (0, 1, 4)] == [2, 1, 0]


def test_every_problem_at_once_with_its_file(tmp_path):
    files = good_files(6)
    del files["masks/000.png"]
    del files["images/001.png"]
    files["masks/002.png"] = picture(mask(2, 16, 12))
    files["masks/003.png"] = picture(mask(3, ids=(0, 1, 2, 7)))
    files["images/004.png"] = files["images/004.png"][:60]
    files["images/005.jpg"] = picture(photograph(5), "JPEG")
    files["images/deep/006.png"] = picture(photograph(6))
    files["masks/007.png"] = b"not a picture"
    files["classes.json"] = json.dumps(["background", "head", "ear", "", "hat"]).encode()
    assert refused(tmp_path, files) == [
        ("classes.json", "class 3 has the name '': names are 1 to 80 printable characters"),
        ("images/000.png", "has no mask: masks/000.png is missing"),
        ("images/004.png", "is truncated"),
        ("images/005.png", "has the same name as images/005.jpg"),
        ("images/deep/006.png", "has no mask: masks/deep/006.png is missing"),
        ("masks/001.png", "has no image: there is no images/001.*"),
        ("masks/002.png", "is 12 x 16, and its image is 16 x 12"),
        ("masks/007.png", "a mask must be a PNG"),
        ("masks/007.png", "has no image: there is no images/007.*"),
    ]
    files["classes.json"] = good_files()["classes.json"]
    unknown = int(np.isin(mask(3, ids=(0, 1, 2, 7)), (2, 7)).sum())
    assert ("masks/003.png", f"class ids 2, 7 ({unknown} pixels) not in classes.json") in refused(tmp_path, files)


@pytest.mark.parametrize(
    ("missing", "blamed", "words"),
    [
        ("classes.json", "labels.zip", "has no classes.json"),
        ("images/", "labels.zip", "holds no files in images/; it holds classes.json, masks/"),
        ("masks/", "labels.zip", "holds no files in masks/"),
    ],
)
def test_missing_parts_are_one_problem_each(tmp_path, missing, blamed, words):
    files = {name: content for name, content in good_files().items() if not name.startswith(missing)}
    ((pointer, detail),) = refused(tmp_path, files)
    assert pointer == blamed
    assert words in detail


def test_too_few_images_and_too_few_classes(tmp_path):
    assert refused(tmp_path, good_files(1)) == [("labels.zip", "holds 1 image: at least 2 are needed")]
    flat = {name: picture(np.ones((12, 16), np.uint8)) for name in ("masks/000.png", "masks/001.png")}
    assert refused(tmp_path, good_files(2) | flat) == [("masks", "show one class only (head): at least two are needed")]
    ignored = {name: picture(np.full((12, 16), 255, np.uint8)) for name in flat}
    assert "one class only (ignored)" in refused(tmp_path, good_files(2) | ignored)[0][1]


def test_missing_class_map_names_the_ids_in_the_masks_and_the_ignore_index(tmp_path):
    files = good_files() | {f"masks/{n:03d}.png": picture(255 * mask(n, ids=(0, 1))) for n in range(3)}
    del files["classes.json"]
    with pytest.raises(LabelSetError) as caught:
        read_label_set(write_zip(tmp_path / "labels.zip", files), tmp_path / "into")
    told = [problem.detail for problem in caught.value.problems if "classes.json" in problem.detail]
    assert len(told) == 1
    assert "they hold 0, 255. 255 is the ignore index; if 255 is your foreground" in told[0]


def test_masks_of_0_and_255_are_told_what_255_is(tmp_path):
    files = good_files() | {f"masks/{n:03d}.png": picture(255 * mask(n, ids=(0, 1))) for n in range(3)}
    files["classes.json"] = b'["background", "head"]'
    ((pointer, told),) = refused(tmp_path, files)
    assert pointer == "masks"
    assert "255 is the ignore index here; if 255 is your foreground" in told
    assert "mask[mask == 255] = 1" in told
    files["classes.json"] = b'{"classes": ["background", "head"], "ignore_index": 200}'
    assert all("if 255 is your foreground" in told for _, told in refused(tmp_path, files))
    files["classes.json"] = b'{"0": "background", "255": "head"}'
    assert any("write the foreground of a 0/255 mask as 1" in told for _, told in refused(tmp_path, files))


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_masks_of_one_wrong_form_are_one_problem(tmp_path, format):
    files = good_files(12) | {f"masks/{n:03d}.png": picture(photograph(n), format) for n in range(12)}
    ((pointer, told),) = refused(tmp_path, files)
    assert pointer == "masks/000.png"
    assert "11 more: masks/001.png" in told


def test_names_composed_and_decomposed_belong_together(tmp_path):
    files = good_files(2)
    files["images/te\u0301.png"], files["masks/t\u00e9.png"] = picture(photograph(2)), picture(mask(2))
    assert len(read(tmp_path, files).items) == 3


def test_a_folder_in_a_folder_around_everything(tmp_path):
    labels = read(tmp_path, {f"export/set 1/{name}": content for name, content in good_files().items()})
    assert len(labels.items) == 3


def test_equal_images_are_noted(tmp_path):
    files = good_files(5)
    files["images/002.png"] = files["images/001.png"] = files["images/000.png"]
    files["images/004.png"], files["masks/004.png"] = files["images/003.png"], files["masks/003.png"]
    notes = [note.text for note in read(tmp_path, files).notes]
    assert "images that occur more than once, with different masks: 000 = 001 = 002" in notes
    assert "images that occur more than once, with equal masks: 003 = 004" in notes


def test_hostile_archives_say_so_through_the_same_door(tmp_path):
    assert refused(tmp_path, good_files() | {"images/../../x.png": b"x"})[0][0] == "images/../../x.png"


def test_images_of_different_sizes_are_taken(tmp_path):
    files = good_files(2) | {
        "images/big.png": picture(photograph(8, 30, 20)),
        "masks/big.png": picture(mask(8, 30, 20)),
    }
    assert read(tmp_path, files).sizes == {(12, 16): 2, (30, 20): 1}


def test_images_of_one_name_in_different_folders_are_different_images(tmp_path):
    files = good_files(1)
    for number, folder in ((3, "left"), (4, "right")):
        files[f"images/{folder}/000.png"] = picture(photograph(number))
        files[f"masks/{folder}/000.png"] = picture(mask(number))
    items = {item.name: item for item in read(tmp_path, files).items}
    assert sorted(items) == ["000", "left/000", "right/000"]
    for number, name in ((0, "000"), (3, "left/000"), (4, "right/000")):
        assert np.array_equal(items[name].image, photograph(number))
        assert np.array_equal(items[name].mask, mask(number))
    del files["masks/left/000.png"]
    assert ("images/left/000.png", "has no mask: masks/left/000.png is missing") in refused(tmp_path, files)


def test_masks_belong_to_images_whose_names_differ_in_unicode_form_or_case(tmp_path):
    files = good_files(1)
    files["images/ta\u0308sschen.PNG"] = picture(photograph(3))
    files["masks/T\u00e4sschen.png"] = picture(mask(3))
    last = read(tmp_path, files).items[-1]
    assert np.array_equal(last.image, photograph(3))
    assert np.array_equal(last.mask, mask(3))


def test_keypoints_find_their_images_by_any_spelling_of_their_names(tmp_path):
    files = {name: content for name, content in good_files(2).items() if name.startswith("images/")}
    files["images/left/\u00e4 1.png"] = picture(photograph(7))
    rows = {"images/000.png": [[1, 1, 2]], "001": [[2, 2, 2]], "left\\a\u0308%201": [[3, 3, 2]]}
    files["keypoints.json"] = json.dumps({"keypoints": ["nose"], "images": rows}).encode()
    items = {item.name: item.keypoints.tolist() for item in read(tmp_path, files).items}
    assert items == {"000": [[1, 1, 2]], "001": [[2, 2, 2]], "left/\u00e4 1": [[3, 3, 2]]}
    files["keypoints.json"] = json.dumps({"keypoints": ["nose"], "images": rows | {"000": [[1, 1, 2]]}}).encode()
    assert refused(tmp_path, files) == [("keypoints.json", "names the image '000' twice, once as 'images/000.png'")]


def test_what_is_no_known_layout_is_one_problem(tmp_path):
    ((pointer, detail),) = refused(tmp_path, {"photos/a.png": picture(photograph(0)), "notes.txt": b"x"})
    assert pointer == "labels.zip"
    assert "is not our layout" in detail
    assert "it holds notes.txt, photos/" in detail


def test_exif_orientation_and_the_mask(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = good_files(2) | {"images/000.png": picture(photograph(0), exif=exif)}
    assert "before its EXIF orientation" in refused(tmp_path, files)[0][1]
    files["masks/000.png"] = picture(np.rot90(mask(0), -1))
    label_set = read(tmp_path, files)
    assert np.array_equal(label_set.items[0].image, np.rot90(photograph(0), -1))
    assert [(note.pointer, note.text) for note in label_set.notes] == [
        ("images/000.png", "turned upright (EXIF orientation 6)")
    ]


def test_notes(tmp_path):
    files = good_files(2) | {
        "README.md": b"hello",
        "masks/000.png": picture(np.full((12, 16), 255, np.uint8)),
        "images/001.png": picture(photograph(1)[:, :, 0]),
    }
    assert [(note.pointer, note.text) for note in read(tmp_path, files).notes] == [
        ("", "left aside, as they are in none of images/, masks/, depth/: README.md"),
        ("masks/000.png", "every pixel is ignored: nothing is learnt from this image"),
        ("images/001.png", "grey repeated in three channels"),
    ]


def test_too_many_pixels_are_refused_by_the_headers_before_anything_is_decoded(tmp_path, monkeypatch):
    def decoded(*_):
        raise AssertionError("decoded")

    declared = 3 * 2 * 12 * 16  # three images and their masks
    assert read(tmp_path, good_files(), picture_limits=PictureLimits(max_total_pixels=declared)).items
    monkeypatch.setattr("core.label_sets.reading.reader.decode_image", decoded)
    monkeypatch.setattr("core.label_sets.reading.reader.decode_mask", decoded)
    (told,) = refused(tmp_path, good_files(), picture_limits=PictureLimits(max_total_pixels=declared - 1))
    assert told[0] == "labels.zip"
    assert "have 1,152 pixels together; at most 1,151 are read: scale the images down" in told[1]


def test_photographs_of_another_format_are_counted_before_masks_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("core.label_sets.reading.reader.translate", lambda *_: pytest.fail("translated"))
    photographs = {f"JPEGImages/{name}.jpg": picture(photograph(name), "JPEG") for name in range(3)}
    (told,) = refused(tmp_path, photographs, picture_limits=PictureLimits(max_total_pixels=100))
    assert "at most 100 are read" in told[1]


def test_a_stopped_reading_ends(tmp_path):
    with pytest.raises(Stopped):
        read(tmp_path, good_files(), should_stop=lambda: True)


def test_reading_twice_into_one_folder(tmp_path):
    first = read(tmp_path, good_files()).digest
    (tmp_path / "into" / "entries").mkdir()
    (tmp_path / "into" / "entries" / "left").write_bytes(b"from a worker that was killed")
    assert read(tmp_path, good_files()).digest == first


# Saved and loaded


def test_save_and_load(tmp_path):
    label_set = read(
        tmp_path, good_files() | {"images/a.png": picture(photograph(5, 7, 9)), "masks/a.png": picture(mask(5, 7, 9))}
    )
    save_label_set(label_set, tmp_path / "saved")
    loaded = load_label_set(tmp_path / "saved")
    assert (loaded.digest, loaded.classes, loaded.notes) == (label_set.digest, label_set.classes, label_set.notes)
    assert loaded.detected_format == label_set.detected_format
    for one, other in zip(loaded.items, label_set.items, strict=True):
        assert (one.name, one.image.tobytes(), one.mask.tobytes()) == (
            other.name,
            other.image.tobytes(),
            other.mask.tobytes(),
        )
        one.image[0, 0] = 0  # in memory alone
    assert load_label_set(tmp_path / "saved").digest == label_set.digest


@pytest.mark.parametrize("spoil", ["pixels", "header", "names", "json", "missing"])
def test_damaged_files(tmp_path, spoil):
    save_label_set(read(tmp_path, good_files()), tmp_path / "saved")
    tensors, text = tmp_path / "saved" / "label_set.safetensors", tmp_path / "saved" / "label_set.json"
    content, document = bytearray(tensors.read_bytes()), json.loads(text.read_text())
    if spoil == "pixels":
        content[-1] ^= 1
    elif spoil == "header":
        content[9] ^= 0x80
    elif spoil == "names":
        document["names"].pop()
    elif spoil == "json":
        document = [document]
    tensors.write_bytes(content)
    text.write_text(json.dumps(document))
    if spoil == "missing":
        tensors.unlink()
    with pytest.raises(LabelSetError):
        load_label_set(tmp_path / "saved")


# Brought to another size


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(12, 16), (6, 8), (8, 8), (5, 20), (30, 30)])
def test_resize_sizes(tmp_path, fit, size):
    label_set = read(tmp_path, good_files())
    resized = resize_to(label_set, *size, fit=fit)
    assert resized.sizes == {size: 3}
    assert all(
        item.image.shape == (*size, 3) and item.image.dtype == item.mask.dtype == np.uint8 for item in resized.items
    )
    assert set(np.unique([item.mask for item in resized.items])) <= {0, 1, 4, 255}
    assert (255 in np.unique(resized.items[0].mask)) == (fit == "pad" and size not in ((12, 16), (6, 8)))
    assert (resized is label_set) == (size == (12, 16))


def test_shrinking_is_an_area_average(tmp_path):
    resized = resize_to(read(tmp_path, good_files()), 6, 8)
    wanted = photograph(0).reshape(6, 2, 8, 2, 3).mean((1, 3))
    assert np.abs(resized.items[0].image - wanted).max() <= 1  # rounded once an axis


def test_image_and_mask_keep_together(tmp_path):
    """A picture whose red channel is its mask still agrees with it after every fit, away from edges."""
    blocks = np.kron(mask(0, 5, 7, (0, 1)), np.ones((40, 40), np.uint8))
    painted = np.dstack([blocks * 200] * 3)
    files = good_files(2) | {"images/b.png": picture(painted), "masks/b.png": picture(blocks)}
    for fit in ("crop", "pad", "stretch"):
        item = resize_to(read(tmp_path, files), 64, 64, fit).items[-1]
        sure = (item.mask != 255) & ((item.image[:, :, 0] == 0) | (item.image[:, :, 0] == 200))
        assert sure.mean() > 0.5
        assert np.array_equal(item.image[:, :, 0][sure] == 200, item.mask[sure] == 1)


def test_crop_is_centred(tmp_path):
    item = resize_to(read(tmp_path, good_files()), 12, 12).items[0]
    assert np.array_equal(item.image, photograph(0)[:, 2:14])
    assert np.array_equal(item.mask, mask(0)[:, 2:14])


def test_lost_classes_are_named(tmp_path):
    sparse = np.zeros((12, 16), np.uint8)
    sparse[0, 0], sparse[5:, 5:] = 4, 1
    files = good_files(2) | {"masks/000.png": picture(sparse), "masks/001.png": picture(sparse)}
    assert resize_to(read(tmp_path, files), 3, 4).notes[-1].text == "at this size no mask shows any more: hat"


def test_bad_sizes(tmp_path):
    with pytest.raises(LabelSetError) as caught:
        resize_to(read(tmp_path, good_files()), 0, -1, "zoom")
    assert [problem.pointer for problem in caught.value.problems] == ["height", "width", "fit"]


# Real photographs


def test_camvid(tmp_path, shared):
    source = shared / "data" / "camvid"
    if not source.is_dir():
        pytest.skip("the CamVid photographs (../shared/data/camvid) are not on this machine")
    names = sorted(path.stem for path in (source / "train" / "images").iterdir())[:50]
    files = {"classes.json": (source / "classes.json").read_bytes()}
    for name in names:
        files[f"images/{name}.jpg"] = (source / "train" / "images" / f"{name}.jpg").read_bytes()
        files[f"masks/{name}.png"] = (source / "train" / "masks" / f"{name}.png").read_bytes()
    label_set = read(tmp_path, files)
    assert len(label_set.items) == 50
    assert label_set.sizes == {(192, 256): 50}
    assert (label_set.classes.count, label_set.classes.ignore_index) == (11, 11)
    assert label_set.classes.name(10) == "bicyclist"
    assert label_set.notes == ()
    assert sum(share.pixels for share in label_set.shares.values()) == pytest.approx(1)
    small = resize_to(label_set, 64, 64, "pad")
    assert small.sizes == {(64, 64): 50}
    assert (small.items[0].mask[:8] == 11).all()
