"""Names in annotation files find the picture that they mean, and no other."""

import base64
import unicodedata

import pytest

from core.formats.image_names import ImageNameError, ImageNames, image_titles

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "tässchen.png") for form in ("NFC", "NFD"))
STORAGE_URL = base64.b64encode(b"s3://bucket/set/a.png").decode()


@pytest.mark.parametrize(
    ("written", "entries", "expected"),
    [
        ("images/a.png", ["images/a.png", "masks/a.png"], "images/a.png"),
        ("a.png", ["a.png", "old/a.png"], "a.png"),
        ("images\\a.png", ["images/a.png", "other/a.png"], "images/a.png"),
        ("C:\\data\\left\\1.png", ["left/1.png", "right/1.png"], "left/1.png"),
        ("/srv/left/1.png", ["set/left/1.png", "set/right/1.png"], "set/left/1.png"),
        ("../images/a.png", ["images/a.png", "b/a.png"], "images/a.png"),
        ("./a.png", ["a.png", "b/a.png"], "a.png"),
        ("elsewhere/a.png", ["images/a.png", "images/b.png"], "images/a.png"),
        ("my%20cup.png", ["images/my cup.png"], "images/my cup.png"),
        ("my cup.png", ["images/my%20cup.png"], "images/my%20cup.png"),
        ("my%20cup.png", ["one/my cup.png", "two/my%20cup.png"], "two/my%20cup.png"),
        ("100%.png", ["100%.png"], "100%.png"),
        (COMPOSED, [f"images/{DECOMPOSED}"], f"images/{DECOMPOSED}"),
        (DECOMPOSED, [f"images/{COMPOSED}"], f"images/{COMPOSED}"),
        ("A.JPG", ["images/a.jpg"], "images/a.jpg"),
        ("A.JPG", ["one/a.jpg", "two/A.JPG"], "two/A.JPG"),
        ("a.jpg", ["images/a.jpg", "images/a.png"], "images/a.jpg"),
        ("frame_000001", ["images/frame_000001.PNG", "images/frame_000002.PNG"], "images/frame_000001.PNG"),
        ("frame.0001", ["images/frame.0001.png"], "images/frame.0001.png"),
        ("https://h.example/set/a.png?X-Sig=a.b/c=", ["set/a.png", "other/a.png"], "set/a.png"),
        ("https://h.example/o/images%2Fa.png?alt=media", ["images/a.png"], "images/a.png"),
        ("s3://bucket/set/a.png", ["set/a.png"], "set/a.png"),
        ("/data/local-files/?d=set/my%20cup.png", ["set/my cup.png", "b/my cup.png"], "set/my cup.png"),
        (f"/tasks/3/resolve/?fileuri={STORAGE_URL}", ["set/a.png", "b/a.png"], "set/a.png"),
        ("/data/upload/7/1a2b3c4d-a.png", ["images/a.png"], "images/a.png"),
        ("/data/upload/7/1a2b3c4d-a.png", ["images/1a2b3c4d-a.png", "b/a.png"], "images/1a2b3c4d-a.png"),
        ("/data/upload/7/1a2b3c4d-my_cup_1.png", ["images/my cup (1).png"], "images/my cup (1).png"),
        ("a.png", ["images/1a2b3c4d-a.png"], "images/1a2b3c4d-a.png"),
        ("http://h.example/a.png", ["images/3f5b21__a.png"], "images/3f5b21__a.png"),
    ],
)
def test_a_written_name_finds_its_picture(written: str, entries: list[str], expected: str) -> None:
    assert ImageNames(entries).find(written) == expected


@pytest.mark.parametrize(
    ("written", "beside", "expected"),
    [
        ("1.png", "train/_annotations.coco.json", "train/1.png"),
        ("1.png", "val/_annotations.coco.json", "val/1.png"),
        ("images/1.png", "val/_annotations.coco.json", "val/images/1.png"),
        ("1.png", "set/annotations/one.json", "set/images/1.png"),
        ("2.png", "annotations/instances_val.json", "pictures/val/2.png"),
        ("2.png", "pictures/train/labels/instances.json", "pictures/train/2.png"),
    ],
)
def test_the_place_of_the_annotation_file_decides_between_equal_names(written: str, beside: str, expected: str) -> None:
    entries = ["train/1.png", "val/1.png", "val/images/1.png", "set/images/1.png", "set/old/1.png"]
    entries += ["pictures/train/2.png", "pictures/val/2.png"]
    assert ImageNames(entries).find(written, beside) == expected


@pytest.mark.parametrize(
    ("written", "entries", "cause"),
    [
        ("1.png", ["left/1.png", "right/1.png"], "may be any of left/1.png, right/1.png"),
        ("middle/1.png", ["left/1.png", "right/1.png"], "may be any of"),
        ("1", ["1.jpg", "1.png"], "may be any of"),
        ("/data/upload/2/1a2b3c4d-1.png", ["1/1.png", "2/1.png"], "may be any of"),
        ("a.jpg", ["a.png", "a.jpg.png"], "which the archive does not hold"),
        ("", ["a.png"], "which the archive does not hold"),
        ("http://[", ["a.png"], "which the archive does not hold"),
        ("a/" * 9000 + "a.png", ["a.png"], "a name of 18,005 characters"),
        ("a.tif", ["images/a.tif"], "is of no kind that is read"),
    ],
)
def test_a_name_without_one_picture_is_refused_with_its_cause(written: str, entries: list[str], cause: str) -> None:
    with pytest.raises(ImageNameError, match=r"(lists|names) (the|an) image") as caught:
        ImageNames(entries).find(written)
    assert cause in str(caught.value)


def test_two_images_never_share_one_picture() -> None:
    names = ImageNames(["right/1.png", "b.png"])
    found = names.find_all([("left/1.png", "x.json"), ("right/1.png", "x.json"), ("one/b.png", ""), ("two/b.png", "")])
    assert found["right/1.png", "x.json"] == "right/1.png"
    assert "which the archive does not hold" in str(found["left/1.png", "x.json"])
    assert isinstance(found["one/b.png", ""], ImageNameError)
    assert isinstance(found["two/b.png", ""], ImageNameError)


def test_a_name_without_picture_never_takes_that_of_another_folder() -> None:
    """Two splits list an image of one name, and the archive holds the first split's alone."""
    names = ImageNames(["train/1.png", "val/2.png"])
    found = names.find_all([("1.png", "train/a.json"), ("1.png", "val/a.json"), ("2.png", "val/a.json")])
    assert found["1.png", "train/a.json"] == "train/1.png"
    assert isinstance(found["1.png", "val/a.json"], ImageNameError)
    assert found["2.png", "val/a.json"] == "val/2.png"


def test_many_folders_with_images_of_one_name_are_found_quickly() -> None:
    entries = [f"video{one}/frame_0.png" for one in range(1000)]
    found = ImageNames(entries).find_all([(f"set/video{one}/frame_0", "a.json") for one in range(1000)])
    assert sorted(str(one) for one in found.values()) == sorted(entries)


def test_two_spellings_of_one_image_share_its_picture() -> None:
    names = ImageNames(["images/1.png"])
    written = [("1.png", "a.json"), ("images/1.png", "b.json"), ("images\\1", "c.json"), ("http://h/1.png?s=2", "")]
    assert set(names.find_all(written).values()) == {"images/1.png"}


def test_titles_are_stems_where_those_differ_and_ends_of_paths_elsewhere() -> None:
    assert image_titles(["x/a.png", "x/b.png"]) == {"x/a.png": "a", "x/b.png": "b"}
    assert set(image_titles(["x/left/1.png", "x/right/1.png"]).values()) == {"left/1", "right/1"}
    assert set(image_titles(["a.jpg", "a.png"]).values()) == {"a.jpg", "a.png"}
    assert set(image_titles(["l/a.jpg", "l/a.png", "r/a.png"]).values()) == {"l/a.jpg", "l/a.png", "r/a.png"}
    assert set(image_titles(["a.jpg", "a.png", "q/a.jpg.png"]).values()) == {"a.jpg", "a.png", "q/a.jpg.png"}
