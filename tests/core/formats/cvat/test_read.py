"""CVAT's XML files: every shape arrives, several files join, and what is not labelled is not background."""

from typing import Any

import pytest

from tests.core.formats.sets import LARGE, SIDE, SQUARE, notes, pictures, problems, read, shares


def polygon(corners: list[int], label: str, more: str = "") -> str:
    points = ";".join(f"{corners[at]},{corners[at + 1]}" for at in range(0, len(corners), 2))
    return f'<polygon label="{label}" source="manual" occluded="0" points="{points}" z_order="0" {more}/>'


def image(name: str, *shapes: str, more: str = "") -> str:
    return f'<image id="0" name="{name}" {more} width="{SIDE}" height="{SIDE}">{"".join(shapes)}</image>'


def xml(*images: str, labels: tuple[str, ...] = ("cup", "spoon")) -> bytes:
    declared = "".join(f"<label><name>{one}</name><attributes></attributes></label>" for one in labels)
    meta = f"<meta><task><labels>{declared}</labels></task></meta>"
    return f"<?xml version='1.0'?><annotations><version>1.1</version>{meta}{''.join(images)}</annotations>".encode()


CUP, SPOON = image("a.png", polygon(SQUARE, "cup")), image("b.png", polygon(LARGE, "spoon"))
RIGHT = {"a": {"cup": 256}, "b": {"spoon": 484}}


def archive(*images: str, more: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
    return {**pictures("images/a.png", "images/b.png", *more), "annotations.xml": xml(*images, **options)}


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ('<box label="cup" xtl="4" ytl="6" xbr="14.0" ybr="11" z_order="0"/>', 50),
        ('<box label="cup" xtl="8" ytl="12" xbr="24" ybr="20" rotation="90.0" z_order="0"/>', 128),
        ('<ellipse label="cup" cx="16" cy="16" rx="10" ry="6" z_order="0"/>', 188),
        ('<ellipse label="cup" cx="16" cy="16" rx="6" ry="10" rotation="45" z_order="0"/>', 188),
        (polygon([-32, 0, 16, 16, -32, 32], "cup"), 85),
    ],
)
def test_shapes_with_an_area_are_read(shape: str, pixels: int) -> None:
    found = shares(read(archive(image("a.png", shape), SPOON)))
    assert found["a"]["cup"] == pytest.approx(pixels, abs=6)
    assert found["b"] == {"spoon": 484}


def test_a_box_turns_about_its_centre() -> None:
    shape = '<box label="cup" xtl="8" ytl="12" xbr="24" ybr="20" rotation="90.0" z_order="0"/>'
    mask = read(archive(image("a.png", shape), SPOON)).items[0].mask
    assert mask[9:23, 13:19].all()
    assert not mask[:, 21:].any()


def test_shapes_without_an_area_are_ignored_and_keep_their_class() -> None:
    others = (
        '<polyline label="edge" points="2,26;6,30" z_order="3"/>'
        '<points label="handle" points="28,28" z_order="0"/>'
        '<skeleton label="body"><points label="1" points="28,2"/><points label="2" points="30,3"/></skeleton>'
        '<tag label="cup" source="manual"/>'
    )
    labels = read(
        archive(
            image("a.png", polygon(SQUARE, "cup"), others), SPOON, labels=("cup", "spoon", "edge", "handle", "body")
        )
    )
    assert shares(labels)["a"] == {"cup": 256, "ignored": 25 + 1 + 6}
    assert {"edge", "handle", "body"} <= set(labels.classes.names.values())
    assert "shapes of the kind polyline have no area" in notes(labels)
    assert "tags of whole images are left aside" in notes(labels)


def test_images_without_a_shape_are_left_out_with_a_note() -> None:
    labels = read(archive(CUP, SPOON, image("c.png"), image("d.png", '<tag label="cup"/>'), more=("c.png", "d.png")))
    assert shares(labels) == RIGHT
    assert "left out, as they have no shape: whether they were looked at is not known: c.png, d.png" in notes(labels)
    assert problems(archive(CUP, image("b.png"))) == [
        "annotations.xml: 1 of 2 images have a shape, the others are not labelled: 2 are needed"
    ]


def test_several_files_are_joined_by_label() -> None:
    files = {
        **pictures("one/images/1.png", "two/images/1.png"),
        "one/annotations.xml": xml(image("1.png", polygon(SQUARE, "cup"))),
        "two/annotations.xml": xml(image("1.png", polygon(LARGE, "spoon")), labels=("spoon", "cup")),
    }
    labels = read(files)
    assert shares(labels) == {"one/images/1": {"cup": 256}, "two/images/1": {"spoon": 484}}
    assert labels.classes.names == {0: "background", 1: "cup", 2: "spoon"}


def test_an_image_that_two_files_label_otherwise_is_refused() -> None:
    files = {**archive(CUP, SPOON), "job_2.xml": xml(image("a.png", polygon(LARGE, "cup")))}
    assert problems(files) == ["images/a.png: is labelled twice, in annotations.xml and in job_2.xml: keep one of them"]
    files["job_2.xml"] = xml(CUP, image("b.png"))
    assert shares(read(files)) == RIGHT


def test_labels_of_two_files_that_differ_in_case_are_refused() -> None:
    files = {**archive(CUP, labels=("cup",)), "job_2.xml": xml(image("b.png", polygon(LARGE, "Cup")), labels=("Cup",))}
    assert "job_2.xml: has a class 'Cup' where annotations.xml has 'cup'" in problems(files)[0]


def test_frames_of_a_video_have_no_suffix() -> None:
    files = {
        **pictures("images/frame_000000.PNG", "images/frame_000001.PNG"),
        "annotations.xml": xml(
            image("frame_000000", polygon(SQUARE, "cup")), image("frame_000001", polygon(LARGE, "spoon"))
        ),
    }
    assert list(shares(read(files)).values()) == [{"cup": 256}, {"spoon": 484}]


def test_the_subset_of_an_image_is_its_folder() -> None:
    files = {
        **pictures("images/Train/1.png", "images/Validation/1.png"),
        "annotations.xml": xml(
            image("1.png", polygon(SQUARE, "cup"), more='subset="Train"'),
            image("1.png", polygon(LARGE, "spoon"), more='subset="Validation"'),
        ),
    }
    assert shares(read(files)) == {"Train/1": {"cup": 256}, "Validation/1": {"spoon": 484}}


def test_tracks_are_named() -> None:
    shape = polygon(SQUARE, "cup", 'frame="0" outside="0" keyframe="1"')
    track = f'<track id="0" label="cup">{shape}</track>'
    (problem,) = problems(archive(track))
    assert 'holds tracks ("CVAT for video")' in problem
    assert "CVAT for images 1.1" in problem


def test_faults_of_shapes_are_named_with_their_image() -> None:
    found = problems(
        archive(
            image("a.png", '<box label="cup" xtl="x" ytl="6" xbr="14" ybr="11"/>', polygon(SQUARE, "fork")),
            image("b.png", '<mask label="cup" rle="0, 9" left="1.0" top="1" width="3" height="4"/>'),
        )
    )
    assert found == [
        "annotations.xml: a.png, box 'cup': its xtl is not a number",
        "annotations.xml: a.png, polygon 'fork': unknown label 'fork'",
        "annotations.xml: b.png, mask 'cup': its run lengths cover 9 pixels where there are 12",
    ]
