"""Keypoints and depth in the formats that have a place for them, opened by readers that are not ours and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from core.errors import LabelSetError
from core.formats.facts import ExportFacts
from core.formats.writers import HOLDS, ExportFormat
from core.label_sets.reading.reader import read_label_set
from tests.core.datasets.archives import write_zip
from tests.core.formats.samples import CLASSES, EVERYTHING, INDICES, NO_CLASSES, POINTS, exported, sample_of_everything

SAMPLES = [sample_of_everything(index) for index in INDICES]


def opened(format: ExportFormat, tmp_path: Path, facts: ExportFacts = EVERYTHING) -> Path:
    return exported(format, tmp_path, SAMPLES, facts)


@pytest.mark.parametrize("facts", [EVERYTHING, NO_CLASSES], ids=["everything", "no classes"])
def test_coco_keypoints_are_read_and_scored_by_pycocotools(tmp_path: Path, facts: ExportFacts) -> None:
    folder = opened("coco", tmp_path, facts)
    assert (folder / "annotations/instances_train.json").exists() == bool(facts.classes.names)
    read = COCO(str(folder / "annotations/keypoints_train.json"))
    (category,) = read.loadCats(read.getCatIds())
    assert category["keypoints"] == list(POINTS.names)
    for one in SAMPLES:
        (annotation,) = read.loadAnns(read.getAnnIds(imgIds=[one.index + 1]))
        wanted = one.keypoints()
        assert wanted is not None
        np.testing.assert_array_equal(np.array(annotation["keypoints"]).reshape(-1, 3), wanted[:, :3])
        assert annotation["num_keypoints"] == 2
    found = [annotation | {"score": 1.0} for annotation in read.dataset["annotations"]]
    scores = COCOeval(read, read.loadRes(found), "keypoints")
    scores.params.kpt_oks_sigmas = np.full(len(POINTS.names), 0.05)
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert scores.stats[0] == 1.0


@pytest.mark.parametrize("facts", [EVERYTHING, NO_CLASSES], ids=["everything", "no classes"])
def test_masks_come_back_as_labels_of_every_task(tmp_path: Path, facts: ExportFacts) -> None:
    folder = opened("masks", tmp_path, facts)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}
    label_set = read_label_set(write_zip(tmp_path / "again.zip", files), tmp_path)
    assert label_set.tasks == facts.tasks
    for one, item in zip(SAMPLES, label_set.items, strict=True):
        points = one.keypoints()
        assert points is not None
        np.testing.assert_array_equal(item.keypoints, points[:, :3])
        np.testing.assert_array_equal(item.depth, one.depth())
        np.testing.assert_array_equal(np.load(folder / f"depth/{one.index:09d}.npy"), one.depth())
        if facts.classes.names:
            np.testing.assert_array_equal(item.mask, one.mask())
    assert label_set.keypoints == POINTS
    assert label_set.depth is not None
    assert label_set.depth.unit == "m"


@pytest.mark.parametrize("facts", [EVERYTHING, NO_CLASSES], ids=["everything", "no classes"])
def test_hf_columns_are_read_by_datasets(tmp_path: Path, facts: ExportFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install datasets")
    folder = opened("hf", tmp_path, facts)
    paths = sorted(str(path) for path in (folder / "data").iterdir())
    rows = datasets.Dataset.from_parquet(paths, cache_dir=str(tmp_path / "cache"))
    assert ("mask" in rows.features) == bool(facts.classes.names)
    for one, row in zip(SAMPLES, rows.with_format("numpy"), strict=True):
        points = one.keypoints()
        assert points is not None
        np.testing.assert_array_equal(np.stack(row["keypoints"]), points[:, :3])
        np.testing.assert_array_equal(np.stack(row["depth"]), one.depth())
    assert json.loads((folder / "depth.json").read_text()) == {"unit": "m"}
    assert json.loads((folder / "keypoints.json").read_text()) == {"keypoints": list(POINTS.names)}
    assert (folder / "classes.json").exists() == bool(facts.classes.names)


@pytest.mark.parametrize("format", get_args(ExportFormat))
def test_labels_without_a_place_are_refused_only_when_none_has_one(format: ExportFormat, tmp_path: Path) -> None:
    assert (opened(format, tmp_path) / "SHA256SUMS").is_file()
    if HOLDS[format] == ("segmentation",):
        (tmp_path / "again").mkdir()
        with pytest.raises(LabelSetError) as caught:
            opened(format, tmp_path / "again", NO_CLASSES)
        (problem,) = caught.value.problems
        assert problem.detail == f"{format} has no place for keypoints and depth: choose masks or hf"
        assert CLASSES.names
