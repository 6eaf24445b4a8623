"""The JSON-LD is read by MLCommons' own reader, and its records are the dataset's."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from core.datasets.croissant import write_croissant
from core.datasets.quality_warnings import DatasetFacts, GeneratorFacts
from core.datasets.samples import encode_sample
from core.datasets.shards import ShardEntry, ShardWriter, shard_path
from core.datasets.statistics import DatasetStatistics
from core.label_sets.classes import ClassMap
from core.label_sets.label_set import ClassShare
from core.label_sets.palette import colours

CLASSES = ClassMap({0: "background", 3: "head"})


def facts(statistics: DatasetStatistics) -> DatasetFacts:
    return DatasetFacts(
        name="ds_1",
        classes=CLASSES,
        statistics=statistics,
        requested=3,
        candidates=4,
        complete=True,
        size=(8, 10),
        generator=GeneratorFacts("heads64", "ab" * 32, "Apache-2.0", "rendered heads"),
        label_count=5,
        label_shares=dict.fromkeys(CLASSES.ids, ClassShare(0.5, 5)),
        inversion=[],
        perceptual="none",
        digests={"label_set": "cd" * 32},
        settings={"seed": 7},
    )


def written(folder: Path) -> tuple[Path, dict[int, tuple[np.ndarray, np.ndarray]]]:
    """A dataset of one shard and its croissant.json; image and mask by index."""
    statistics, pictures = DatasetStatistics(), {}
    target = io.BytesIO()
    writer = ShardWriter(target, shard_path(0))
    for index in (0, 2, 3):
        rng = np.random.default_rng(index)
        image, mask = rng.integers(0, 256, (8, 10, 3), np.uint8), rng.choice(np.array([0, 3], np.uint8), (8, 10))
        record = {"index": index, "uncertainty": 0.5}
        files = encode_sample(image, mask, np.zeros((1, 2), np.float32), record, colours(CLASSES))
        writer.write(index, files)
        statistics.add(json.loads(files["json"]))
        pictures[index] = (image, mask)
    entry = writer.finish()
    (folder / "shards").mkdir()
    (folder / entry.path).write_bytes(target.getvalue())
    path = folder / "croissant.json"
    path.write_bytes(write_croissant(facts(statistics), [entry]))
    return path, pictures


@pytest.mark.filterwarnings("ignore")  # of the reader's own dependencies
def test_it_is_read_by_mlcroissant(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed: pip install mlcroissant")
    path, pictures = written(tmp_path)
    dataset = mlcroissant.Dataset(jsonld=str(path))
    assert not dataset.metadata.ctx.issues.errors
    names = {one["classes/id"]: one["classes/name"] for one in dataset.records("classes")}
    assert {key: name.decode() if isinstance(name, bytes) else name for key, name in names.items()} == CLASSES.names
    for records, which in (("images", 0), ("masks", 1)):
        read = {}
        for one in dataset.records(records):
            index = one[f"{records}/index"]
            read[int(index)] = np.array(one[f"{records}/content"])
        assert set(read) == set(pictures)
        for index, both in pictures.items():
            np.testing.assert_array_equal(read[index], both[which])


def test_it_says_where_everything_comes_from() -> None:
    shard = ShardEntry(shard_path(0), 5, "0" * 64, 3)
    document = json.loads(write_croissant(facts(DatasetStatistics()), [shard]))
    assert document["distribution"][0]["sha256"] == shard.sha256
    used = {one["sc:name"]: one["sc:identifier"] for one in document["prov:wasGeneratedBy"]["prov:used"]}
    assert used == {"generator": "sha256:" + "ab" * 32, "label_set": "sha256:" + "cd" * 32}
    assert json.loads(document["prov:wasGeneratedBy"]["sc:description"]) == {"seed": 7}
    assert "The dataset holds no images." in document["rai:dataLimitations"][0]
    assert write_croissant(facts(DatasetStatistics()), [shard]) == write_croissant(facts(DatasetStatistics()), [shard])
