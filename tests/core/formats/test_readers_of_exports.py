"""Each export is read by our own reader and by the tool it is for, whatever its classes are called."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from core.datasets.samples import StoredSample, encode_sample
from core.formats.export_card import export_card
from core.formats.facts import ExportFacts, Split
from core.formats.writers import ExportFormat
from core.label_sets.classes import ClassMap
from core.label_sets.palette import colours
from core.label_sets.reading.reader import read_label_set
from tests.core.formats.samples import EVERYTHING, INDICES, exported, sample_of_everything

needs_ultralytics = pytest.mark.skipif(
    find_spec("ultralytics") is None,
    reason="ultralytics is not installed, as its licence is AGPL: pip install --no-deps ultralytics",
)
CLASS_MAPS = {
    "plain": ClassMap({0: "background", 1: "cup", 2: "spoon"}),
    "named like what formats reserve": ClassMap({0: "void", 1: "ignored", 2: "no", 3: "null"}),
    "equal once cleaned": ClassMap({0: "a b", 1: "a:b", 2: "a,b", 3: "#", 4: "a b 2", 5: "Tässchen 🎉"}),
    "gaps, one named like a class": ClassMap({1: "sky", 4: "class 2", 6: "Background"}, 0),
    "ignore index in a gap": ClassMap({0: "background", 3: "class 2", 5: "class 4"}, 4),
}
LISTED: tuple[ExportFormat, ...] = ("coco", "yolo", "voc", "masks", "cvat")


def dataset(classes: ClassMap, count: int = 4) -> tuple[list[StoredSample], ExportFacts]:
    """Samples that show every class and ignored pixels."""
    values = np.array([*classes.ids, classes.ignore_index], np.uint8)
    samples = []
    for index in range(count):
        rng = np.random.default_rng(index)
        mask = np.concatenate([values, rng.choice(values, 12 * 16 - len(values))]).astype(np.uint8).reshape(12, 16)
        image = rng.integers(0, 256, (12, 16, 3), np.uint8)
        record = {"index": index, "uncertainty": 0.5}
        files = encode_sample(image, mask, np.zeros((2, 3), np.float32), record, colours(classes))
        samples.append(StoredSample(index, files))
    return samples, ExportFacts("ds_1", classes, count)


@pytest.mark.parametrize("name", CLASS_MAPS)
@pytest.mark.parametrize("format", LISTED)
@pytest.mark.parametrize("split", [None, Split(0.5, 3)])
def test_our_reader_returns_classes_and_masks_of_every_export(
    format: ExportFormat, name: str, split: Split | None, tmp_path: Path
) -> None:
    classes = CLASS_MAPS[name]
    samples, facts = dataset(classes)
    exported(format, tmp_path, samples, replace(facts, split=split))
    labels = read_label_set(tmp_path / f"{format}.zip", tmp_path / "again")
    assert labels.classes == classes
    assert len(labels.items) == len(samples)
    for one, item in zip(samples, sorted(labels.items, key=lambda item: item.name[-9:]), strict=True):
        np.testing.assert_array_equal(item.image, one.image())
        np.testing.assert_array_equal(item.mask, one.mask())


@pytest.mark.parametrize("format", LISTED)
def test_ignored_pixels_of_an_export_stay_ignored_where_they_outnumber_the_background(
    format: ExportFormat, tmp_path: Path
) -> None:
    classes = CLASS_MAPS["plain"]
    samples = dataset(classes)[0]
    for place, sample in enumerate(samples):
        mask = np.full((12, 16), classes.ignore_index, np.uint8)
        mask[:2, :2] = 1
        mask[3, : 5 * place] = 0  # none in the first
        record = {"index": sample.index, "uncertainty": 0.5}
        files = encode_sample(sample.image(), mask, np.zeros((2, 3), np.float32), record, colours(classes))
        samples[place] = StoredSample(sample.index, files)
    exported(format, tmp_path, samples, ExportFacts("ds_1", classes, len(samples)))
    labels = read_label_set(tmp_path / f"{format}.zip", tmp_path / "again")
    for one, item in zip(samples, sorted(labels.items, key=lambda item: item.name[-9:]), strict=True):
        np.testing.assert_array_equal(item.mask, one.mask())


def test_our_reader_joins_masks_and_keypoints_of_a_coco_export(tmp_path: Path) -> None:
    samples = [sample_of_everything(index) for index in INDICES]
    exported("coco", tmp_path, samples, EVERYTHING)
    labels = read_label_set(tmp_path / "coco.zip", tmp_path / "again")
    assert labels.classes == EVERYTHING.classes
    assert labels.keypoints == EVERYTHING.keypoints
    assert all(item.keypoints is not None for item in labels.items)


@pytest.mark.parametrize("name", CLASS_MAPS)
def test_yolo_has_what_ultralytics_asks_of_a_dataset(name: str, tmp_path: Path) -> None:
    samples, facts = dataset(CLASS_MAPS[name])
    folder = exported("yolo", tmp_path, samples, facts)
    described = yaml.safe_load((folder / "data.yaml").read_text())
    assert "path" not in described, "a relative one is taken from the reader's working folder"
    names = described["names"]
    assert list(names) == list(range(described["nc"])), "ids without gaps"
    assert all(isinstance(one, str) for one in names.values()), "no stays text"
    assert len(set(names.values())) == len(names)
    assert {names[class_id] for class_id in facts.classes.ids} == set(facts.classes.names.values())
    parts = [{path.name for path in (folder / described[part]).iterdir()} for part in ("train", "val")]
    assert all(parts)
    assert not parts[0] & parts[1]


@needs_ultralytics
def test_yolo_passes_the_dataset_check_of_ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "config"))
    from ultralytics.data.utils import check_det_dataset

    folders = []
    for name, classes in CLASS_MAPS.items():
        (tmp_path / name).mkdir()
        folders.append(exported("yolo", tmp_path / name, *dataset(classes)))
    monkeypatch.chdir(folders[0])  # where another export's images lie
    for folder in folders:
        found = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
        assert (found["train"], found["val"]) == (str(folder / "images/train"), str(folder / "images/val"))


def test_coco_parts_hold_every_image_once(tmp_path: Path) -> None:
    samples, facts = dataset(CLASS_MAPS["plain"])
    folder = exported("coco", tmp_path, samples, replace(facts, split=Split(0.25)))
    images = []
    for part, count in (("train", 3), ("val", 1)):
        read = COCO(str(folder / f"annotations/instances_{part}.json"))
        assert len(read.getImgIds()) == count
        assert {row["image_id"] for row in read.loadAnns(read.getAnnIds())} == set(read.getImgIds())
        assert all((folder / f"images/{part}" / row["file_name"]).is_file() for row in read.loadImgs(read.getImgIds()))
        images += read.getImgIds()
    assert sorted(images) == [1, 2, 3, 4]


@pytest.mark.parametrize("name", CLASS_MAPS)
def test_labelmap_of_voc_names_every_colour_once(name: str, tmp_path: Path) -> None:
    samples, facts = dataset(CLASS_MAPS[name])
    folder = exported("voc", tmp_path, samples, replace(facts, split=Split(0.5)))
    lines = [line.split(":") for line in (folder / "labelmap.txt").read_text().splitlines() if not line.startswith("#")]
    assert len({line[0] for line in lines}) == len({line[1] for line in lines}) == len(lines) == facts.classes.count + 1
    assert lines[-1][1] == "224,224,192"
    parts = [(folder / f"ImageSets/Segmentation/{part}.txt").read_text().split() for part in ("train", "val")]
    assert sorted(parts[0] + parts[1]) == [f"{one.index:09d}" for one in samples]
    assert len(parts[1]) == 2


def test_cvat_and_masks_list_their_parts(tmp_path: Path) -> None:
    samples, facts = dataset(CLASS_MAPS["plain"])
    facts = replace(facts, split=Split(0.5))
    xml = ElementTree.parse(exported("cvat", tmp_path, samples, facts) / "annotations.xml")
    (tmp_path / "scratch").rename(tmp_path / "scratch of cvat")
    subsets = sorted(str(one.get("subset")) for one in xml.findall("image"))
    folder = exported("masks", tmp_path, samples, facts)
    listed = [part for part in ("train", "val") for _ in (folder / f"{part}.txt").read_text().split()]
    assert subsets == listed == ["train", "train", "val", "val"]


@pytest.mark.parametrize("name", CLASS_MAPS)
def test_datasets_finds_parts_and_class_names_in_an_hf_export(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install datasets")
    samples, facts = dataset(CLASS_MAPS[name])
    folder = exported("hf", tmp_path, samples, replace(facts, split=Split(0.25)))
    counts = {}
    for part in ("train", "validation"):
        paths = sorted(str(path) for path in folder.glob(f"data/{part}-*.parquet"))
        rows = datasets.Dataset.from_parquet(paths, cache_dir=str(tmp_path / "cache"))
        counts[part] = len(rows)
        names = rows.features["classes"].feature.names
        assert {one: names[one] for one in facts.classes.ids} == dict(facts.classes.names)
        for row in rows:
            shown = set(np.unique(np.array(row["mask"])).tolist()) - {facts.classes.ignore_index}
            assert row["classes"] == sorted(shown)
    assert counts == {"train": 3, "validation": 1}


def test_the_card_of_an_hf_export_names_the_files_of_each_part() -> None:
    front = "tags:\n- webdataset\nconfigs:\n- config_name: default\n  data_files: x\n"
    card = f"---\n{front}---\n# Set\n\n## Reading it\n\nx\n"
    facts = dataset(CLASS_MAPS["plain"])[1]
    written = yaml.safe_load(export_card(card, "hf", replace(facts, split=Split(0.25))).split("---\n")[1])
    files = written["configs"][0]["data_files"]
    assert {one["split"]: one["path"] for one in files} == {
        "train": "data/train-*.parquet",
        "validation": "data/validation-*.parquet",
    }
    assert "All images are in the part `train`." in export_card(card, "coco", facts)


@pytest.mark.parametrize(
    ("fraction", "count", "wanted"), [(0.0, 10, 0), (0.2, 10, 2), (0.01, 10, 1), (0.9, 2, 1), (0.5, 1, 0), (0.1, 0, 0)]
)
def test_a_split_has_the_fraction_and_leaves_no_part_empty(fraction: float, count: int, wanted: int) -> None:
    found = Split(fraction).validation(count)
    assert len(found) == wanted
    assert found <= set(range(count))


def test_a_split_is_the_same_for_the_same_seed() -> None:
    assert Split(0.3, 5).validation(100) == Split(0.3, 5).validation(100) != Split(0.3, 6).validation(100)


def test_the_class_map_of_an_export_stands_beside_its_manifest(tmp_path: Path) -> None:
    samples, facts = dataset(CLASS_MAPS["gaps, one named like a class"])
    document = json.loads((exported("yolo", tmp_path, samples, facts) / "offhand/classes.json").read_text())
    assert ClassMap.from_json(document) == facts.classes
    assert document["sources"]["class 2 (unused)"] == facts.classes.ignore_index
