"""Every export is opened by a reader that is not ours, and compared with the dataset pixel by pixel."""

from __future__ import annotations

import gc
import hashlib
import json
import weakref
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import numpy as np
import pycocotools.mask
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO

from core.datasets.samples import StoredSample
from core.formats.hf import write
from core.formats.writers import ExportFormat
from core.label_sets.reading.reader import read_label_set
from tests.core.datasets.archives import write_zip
from tests.core.formats.samples import CLASSES, INDICES, exported, sample, samples

FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
needs_datumaro = pytest.mark.skipif(
    find_spec("datumaro") is None,
    reason="datumaro is not installed; it asks for an older Pillow than ours: pip install --no-deps datumaro",
)


def datumaro_masks(folder: Path, format: str) -> dict[str, dict[str, np.ndarray]]:
    """Image → label → where it is, as datumaro reads the export."""
    import datumaro

    dataset = datumaro.Dataset.import_from(str(folder), format)
    labels = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
    found: dict[str, dict[str, np.ndarray]] = {}
    for item in dataset:
        assert item.media.data.shape == (18, 24, 3)
        masks = [one for one in item.annotations if one.type == datumaro.AnnotationType.mask]
        # datumaro reads masks of COCO's category 0 and leaves their label out.
        named = {labels[one.label or 0]: np.asarray(one.image, bool) for one in masks}
        found[item.id.rpartition("/")[2]] = named
    return found


def assert_same_masks(found: dict[str, dict[str, np.ndarray]], extra: frozenset[str] = frozenset()) -> None:
    assert set(found) == {f"{index:09d}" for index in INDICES}
    for one in samples():
        masks, mask = found[f"{one.index:09d}"], one.mask()
        assert set(masks) - extra == {CLASSES.name(class_id) for class_id in CLASSES.ids}
        for class_id in CLASSES.ids:
            np.testing.assert_array_equal(masks[CLASSES.name(class_id)], mask == class_id)


def pictures_of(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.array(Image.open(path)) for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("format", FORMATS)
def test_the_package_names_the_digest_of_everything_in_it(format: ExportFormat, tmp_path: Path) -> None:
    folder = exported(format, tmp_path)
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert sums == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name != "SHA256SUMS"
    }
    assert (folder / "README.md").read_bytes() == b"# Heads\n"


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_dataset_gives_the_same_bytes(format: ExportFormat, tmp_path: Path) -> None:
    digests = set()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        exported(format, tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name / f"{format}.zip").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_dataset_is_a_readable_package(format: ExportFormat, tmp_path: Path) -> None:
    assert (exported(format, tmp_path, of=[]) / "SHA256SUMS").is_file()


@pytest.mark.parametrize("format", FORMATS)
def test_one_sample_is_in_memory_at_a_time(
    format: ExportFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "GROUP_BYTES", 1)
    alive: list[int] = []

    def watched() -> Iterator[StoredSample]:
        known: list[weakref.ref[StoredSample]] = []
        for index in range(8):
            one = sample(index)
            known.append(weakref.ref(one))
            yield one
            del one
            gc.collect()
            alive.append(sum(reference() is not None for reference in known))

    exported(format, tmp_path, of=watched())
    assert len(alive) == 8
    assert max(alive) <= 1


def test_coco_is_read_by_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = exported("coco", tmp_path)
    read = COCO(str(folder / "annotations/instances_train.json"))
    assert {one["id"]: one["name"] for one in read.loadCats(read.getCatIds())} == dict(CLASSES.names)
    for one in samples():
        (row,) = read.loadImgs([one.index + 1])
        picture = np.array(Image.open(folder / "images/train" / row["file_name"]))
        np.testing.assert_array_equal(picture, one.image())
        mask = np.full((row["height"], row["width"]), CLASSES.ignore_index, np.uint8)
        for annotation in read.loadAnns(read.getAnnIds(imgIds=[row["id"]])):
            where = read.annToMask(annotation).astype(bool)
            assert annotation["area"] == where.sum()
            left, top, width, height = annotation["bbox"]
            assert where[top : top + height, left : left + width].sum() == where.sum()
            mask[where] = annotation["category_id"]
        np.testing.assert_array_equal(mask, one.mask())


@needs_datumaro
def test_coco_is_read_by_datumaro(tmp_path: Path) -> None:
    assert_same_masks(datumaro_masks(exported("coco", tmp_path), "coco_instances"))


@needs_datumaro
def test_cvat_is_read_by_datumaro(tmp_path: Path) -> None:
    assert_same_masks(datumaro_masks(exported("cvat", tmp_path), "cvat"))


@needs_datumaro
def test_voc_is_read_by_datumaro(tmp_path: Path) -> None:
    assert_same_masks(datumaro_masks(exported("voc", tmp_path), "voc_segmentation"), frozenset({"ignored"}))


def test_voc_masks_hold_ids(tmp_path: Path) -> None:
    folder = exported("voc", tmp_path)
    names = (folder / "ImageSets/Segmentation/train.txt").read_text().split()
    assert names == [f"{index:09d}" for index in INDICES]
    for one, name in zip(samples(), names, strict=True):
        np.testing.assert_array_equal(np.array(Image.open(folder / f"JPEGImages/{name}.png")), one.image())
        mask = Image.open(folder / f"SegmentationClass/{name}.png")
        assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]  # type: ignore[index]
        np.testing.assert_array_equal(np.array(mask), one.mask())


def test_cvat_says_which_labels_there_are(tmp_path: Path) -> None:
    xml = ElementTree.parse(exported("cvat", tmp_path) / "annotations.xml")
    assert [one.text for one in xml.findall("meta/task/labels/label/name")] == list(CLASSES.names.values())
    assert [one.get("name") for one in xml.findall("image")] == [f"{index:09d}.png" for index in INDICES]


def test_yolo_polygons_fill_to_the_same_mask(tmp_path: Path) -> None:
    folder = exported("yolo", tmp_path)
    described = yaml.safe_load((folder / "data.yaml").read_text())
    assert described["names"] == {0: "background", 1: "head", 2: "class 2", 3: "class 3", 4: 'hat & "scarf"'}
    parts = {part: pictures_of(folder / described[part]) for part in ("train", "val")}
    assert {part: len(pictures) for part, pictures in parts.items()} == {"train": 2, "val": 1}
    pictures = {name: (part, picture) for part, found in parts.items() for name, picture in found.items()}
    for one in samples():
        height, width = one.mask().shape
        part, found = pictures[f"{one.index:09d}"]
        np.testing.assert_array_equal(found, one.image())
        mask = np.full((height, width), CLASSES.ignore_index, np.uint8)
        for line in (folder / f"labels/{part}/{one.index:09d}.txt").read_text().splitlines():
            class_id, *numbers = line.split()
            points = np.array(numbers, float).reshape(-1, 2)
            assert ((points >= 0) & (points <= 1)).all()
            polygon = (points * (width, height)).ravel().tolist()
            filled = pycocotools.mask.decode(pycocotools.mask.frPyObjects([polygon], height, width))[:, :, 0]
            assert (mask[filled == 1] == CLASSES.ignore_index).all(), "no pixel is in two regions"
            mask[filled == 1] = int(class_id)
        np.testing.assert_array_equal(mask, one.mask())


def test_masks_are_read_as_labelled_images(tmp_path: Path) -> None:
    folder = exported("masks", tmp_path)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}
    label_set = read_label_set(write_zip(tmp_path / "again.zip", files), tmp_path)
    assert label_set.classes == CLASSES
    for one, item in zip(samples(), label_set.items, strict=True):
        np.testing.assert_array_equal(item.image, one.image())
        np.testing.assert_array_equal(item.mask, one.mask())


def test_hf_is_read_by_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install datasets")
    folder = exported("hf", tmp_path)
    paths = sorted(str(path) for path in (folder / "data").iterdir())
    rows = datasets.Dataset.from_parquet(paths, cache_dir=str(tmp_path / "cache"))
    assert rows.features["mask"] == datasets.Image()
    assert rows["index"][:] == list(INDICES)
    for one, row in zip(samples(), rows, strict=True):
        np.testing.assert_array_equal(np.array(row["image"]), one.image())
        np.testing.assert_array_equal(np.array(row["mask"]), one.mask())
        assert row["uncertainty"] == one.record()["uncertainty"]
    assert json.loads((folder / "classes.json").read_text()) == CLASSES.to_json()


def test_hf_closes_a_file_that_is_large_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr(write, "GROUP_BYTES", 1)
    monkeypatch.setattr(write, "FILE_BYTES", 4000)
    paths = sorted((exported("hf", tmp_path) / "data").iterdir())
    assert [path.name for path in paths] == [f"train-{number:05d}.parquet" for number in range(2)]
    assert [one for path in paths for one in pq.read_table(path)["index"].to_pylist()] == list(INDICES)
