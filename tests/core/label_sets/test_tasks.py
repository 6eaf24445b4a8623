"""Label sets with keypoints and depth, beside masks or alone."""

import io
import json
import struct
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pytest

from core.errors import LabelSetError
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.reading.reader import read_label_set
from core.label_sets.resize import resize_to
from core.label_sets.storage import load_label_set, save_label_set
from tests.core.datasets.archives import good_files, picture, write_zip

POINTS = [[[2, 3, 2], [15.5, 11, 1]], [[0, 0, 0], [8, 6, 2]], [[16, 12, 2], [1, 1, 2]]]


def keypoints(rows=POINTS, names=("eye", "chin")):
    return json.dumps({"keypoints": list(names), "images": {f"{n:03d}": row for n, row in enumerate(rows)}}).encode()


def depth(number):
    values = np.random.default_rng(number).integers(1, 5000, (12, 16), np.uint16)
    values[0] = 9  # marked as invalid below
    return values


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def exr(channels, **header):
    import OpenEXR

    stream = io.BytesIO()
    kind = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    with NamedTemporaryFile(suffix=".exr") as file:
        OpenEXR.File(kind | header, channels).write(file.name)
        stream.write(Path(file.name).read_bytes())
    return stream.getvalue()


def all_tasks():
    files = good_files(3) | {"keypoints.json": keypoints()}
    files["depth.json"] = json.dumps({"unit": "m", "scale": 0.001, "invalid": 9}).encode()
    files |= {f"depth/{n:03d}.png": picture(depth(n)) for n in range(2)}
    return files | {"depth/002.npy": npy(depth(2).astype(np.float64))}


def read(tmp_path, files):
    return read_label_set(write_zip(tmp_path / "labels.zip", files), tmp_path / "into")


def test_all_tasks_of_one_set(tmp_path):
    labels = read(tmp_path, all_tasks())
    assert labels.tasks == ("segmentation", "keypoints", "depth")
    assert labels.keypoints.names == ("eye", "chin")
    assert labels.depth == DepthUnit("m", 0.001, 9)
    for number, item in enumerate(labels.items):
        assert item.keypoints.tolist() == np.float32(POINTS[number]).tolist()
        assert not item.depth[0].any()
        np.testing.assert_allclose(item.depth[1:], depth(number)[1:] / 1000, rtol=1e-6)
    save_label_set(labels, tmp_path / "kept")
    loaded = load_label_set(tmp_path / "kept")
    assert (loaded.digest, loaded.tasks, loaded.keypoints, loaded.depth) == (
        labels.digest,
        labels.tasks,
        labels.keypoints,
        labels.depth,
    )
    assert all(np.array_equal(a.depth, b.depth) for a, b in zip(loaded.items, labels.items, strict=True))
    assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(loaded.items, labels.items, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint32])
@pytest.mark.parametrize("name", ["Z", "any"])
def test_depth_as_openexr(tmp_path, dtype, name):
    stored = depth(2).astype(dtype)
    others = {"R": stored * 0, "G": stored * 0, "B": stored * 0} if name == "Z" else {}
    files = all_tasks()
    del files["depth/002.npy"]
    labels = read(tmp_path, files | {"depth/002.exr": exr({name: stored} | others)})
    assert not labels.items[2].depth[0].any()
    np.testing.assert_allclose(labels.items[2].depth[1:], stored[1:].astype(np.float64) / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda: exr({"Z": depth(2).astype(np.float32)})[:-200], "cannot be read as OpenEXR"),
        (lambda: b"\x76\x2f\x31\x01" + bytes(50), "cannot be read as OpenEXR"),
        (lambda: exr({name: np.zeros((12, 16), np.float32) for name in "RGB"}), "has the channels B, G, R"),
        (lambda: exr({"Z": np.full((12, 16), np.nan, np.float32)}), "192 values are negative, NaN or infinite"),
        (lambda: large_exr(), "is 20000 x 20000 pixels"),
    ],
    ids=["truncated", "no picture", "colours", "NaN", "pixel bomb"],
)
def test_openexr_that_is_refused(tmp_path, content, told):
    files = all_tasks()
    del files["depth/002.npy"]
    with pytest.raises(LabelSetError) as caught:
        read(tmp_path, files | {"depth/002.exr": content()})
    (problem,) = caught.value.problems
    assert problem.pointer == "depth/002.exr"
    assert told in problem.detail


def large_exr():
    """A picture whose windows say that it is 20,000 pixels wide and high."""
    small, large = struct.pack("<4i", 0, 0, 15, 11), struct.pack("<4i", 0, 0, 19_999, 19_999)
    return exr({"Z": np.ones((12, 16), np.float32)}).replace(small, large)


@pytest.mark.parametrize("task", ["keypoints", "depth"])
def test_a_task_may_stand_alone(tmp_path, task):
    files = {name: content for name, content in all_tasks().items() if name.startswith(("images", task))}
    labels = read(tmp_path, files)
    assert labels.tasks == (task,)
    assert labels.classes.count == 0
    assert all((item.mask == 255).all() for item in labels.items)
    save_label_set(labels, tmp_path / "kept")
    assert load_label_set(tmp_path / "kept").tasks == (task,)


def test_each_task_counts_in_the_digest(tmp_path):
    files = all_tasks()
    digests = set()
    for number, spoilt in enumerate(
        [{}, {"keypoints.json": keypoints([*POINTS[:2], POINTS[0]])}, {"depth/000.png": picture(depth(7))}]
    ):
        (tmp_path / str(number)).mkdir()
        digests.add(read(tmp_path / str(number), files | spoilt).digest)
    assert len(digests) == 3


def test_everything_wrong_is_told_with_its_file(tmp_path):
    files = all_tasks()
    del files["depth/001.png"]
    bad = depth(2).astype(np.float32)
    bad[3, :2] = np.nan, -1
    files["depth/002.npy"] = npy(bad)
    files["depth/000.png"] = picture(depth(0)[:5])
    rows = [[[2, 3, 2], [17, 11, 1]], [[0, 0, 3], ["x", 6, 2]], [[1, 1, 1]], [[0, 0, 0], [0, 0, 0]]]
    files["keypoints.json"] = keypoints(rows)
    with pytest.raises(LabelSetError) as caught:
        read(tmp_path, files)
    told = sorted((problem.pointer, problem.detail) for problem in caught.value.problems)
    assert [pointer for pointer, _ in told] == [
        "depth/000.png", "depth/002.npy", "images/001.png", *["keypoints.json"] * 5,
    ]  # fmt: skip
    assert "2 values are negative, NaN or infinite" in told[1][1]
    assert "000: chin: (17, 11) lies outside of the 16 x 12 image" in [detail for _, detail in told]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("keypoints.json", b"{"),
        ("keypoints.json", b"[]"),
        ("keypoints.json", json.dumps({"keypoints": ["a", "a"], "images": {}}).encode()),
        ("depth.json", b'{"scale": 0}'),
        ("depth.json", b'{"metres": true}'),
        ("depth/002.npy", npy(np.zeros((2, 3, 4)))),
        ("depth/002.npy", npy(np.array([[None, 1]], object))),
        ("depth/002.npy", npy(depth(2))[:-7]),
        ("depth/001.png", picture(np.zeros((12, 16, 3), np.uint8))),
    ],
)
def test_damaged_files_are_told(tmp_path, name, content):
    with pytest.raises(LabelSetError) as caught:
        read(tmp_path, all_tasks() | {name: content})
    assert name in {problem.pointer for problem in caught.value.problems}


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_labels_move_with_their_pixels(tmp_path, fit):
    """A point on a bright pixel, and a depth there, stay there."""
    images = np.zeros((12, 16, 3), np.uint8)
    images[4:6, 6:8] = 255
    deep = np.where(images[..., 0], 700, 100).astype(np.uint16)
    files = {f"images/{n:03d}.png": picture(images) for n in range(2)}
    files |= {f"depth/{n:03d}.png": picture(deep) for n in range(2)}
    files |= {"depth.json": b"{}", "keypoints.json": keypoints([[[7, 5, 2], [0.2, 0.2, 2]]] * 2)}
    item = resize_to(read(tmp_path, files), 24, 24, fit).items[0]
    x, y, visible = item.keypoints[0]
    assert visible == 2
    assert item.image[int(y), int(x), 0] > 200
    assert item.depth[int(y), int(x)] == 700
    assert item.keypoints[1, 2] == (0 if fit == "crop" else 2)
    assert (item.depth == 0).any() == (fit == "pad")
