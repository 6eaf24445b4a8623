"""Whole jobs whose labels are keypoints and depth, beside masks and alone."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.datasets.shards import read_shard
from store.database.database import open_database
from store.objects import open_objects
from store.resources.artifacts import get_label_set, get_labeler
from store.resources.datasets import MANIFEST
from store.settings import Settings, WorkerSettings
from tests.e2e import tiny
from tests.worker.inline import TENANT, InlineWorker, content, generate, upload, view


def write_labels(archive: Path, folder: Path, masks: bool) -> None:
    """The tiny generator's labels with the brightest pixel as a point and the brightness as a depth."""
    plain = folder / "plain.zip"
    tiny.write_labels(plain, tiny.write_generator(folder / "generators"))
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(archive, "w") as target:
        points = {}
        for name in source.namelist():
            if masks or name.startswith("images/"):
                target.writestr(name, source.read(name))
            if name.startswith("images/"):
                grey = np.array(Image.open(io.BytesIO(source.read(name)))).mean(2)
                y, x = np.unravel_index(grey.argmax(), grey.shape)
                stem = Path(name).stem
                points[stem] = [[x + 0.5, y + 0.5, 2], [0, 0, 0]]
                stream = io.BytesIO()
                np.save(stream, (1 + grey / 64).astype(np.float32))
                target.writestr(f"depth/{stem}.npy", stream.getvalue())
        target.writestr("keypoints.json", json.dumps({"keypoints": ["brightest", "never"], "images": points}))
        target.writestr("depth.json", json.dumps({"unit": "m"}))


@pytest.mark.parametrize("masks", [True, False])
def test_a_job_with_keypoints_and_depth(tmp_path: Path, masks: bool) -> None:
    write_labels(tmp_path / "labels.zip", tmp_path, masks)
    pace = {"shard_images": 8, "batch": 4, "backoff_seconds": 0.0, "device": "cpu", "threads": 1}
    settings = Settings(
        home=tmp_path / "home", generators_folder=str(tmp_path / "generators"), worker=WorkerSettings(**pace)
    )
    db, objects = open_database(settings), open_objects(settings)
    job = generate(db, upload(db, objects, tmp_path / "labels.zip"), count=6)
    InlineWorker(db, objects).run()
    ended = view(db, job)
    assert ended.state == "succeeded", ended.error
    tasks = ["segmentation", "keypoints", "depth"][0 if masks else 1 :]
    assert get_label_set(db, ended.result.label_set, tenant=TENANT).info["tasks"] == tasks
    assert list(get_labeler(db, ended.result.labeler, tenant=TENANT).info["tasks"]) == tasks
    dataset = ended.result.dataset
    manifest = json.loads(content(db, objects, dataset, MANIFEST))
    assert (manifest["tasks"], manifest["keypoints"]) == (tasks, ["brightest", "never"])
    assert manifest["depth"]["unit"] == "m"
    samples = list(read_shard(io.BytesIO(content(db, objects, dataset, "shards/shard-000000.tar"))))
    assert len(samples) == 6
    for sample in samples:
        assert set(sample.record()["uncertainty_by_task"]) == set(tasks)
        points, depth = sample.keypoints(), sample.depth()
        assert points is not None
        assert depth is not None
        assert points.shape == (2, 4)
        assert points[1, 2] == 0
        assert (depth.shape, depth.dtype) == ((16, 16), np.float32)
        assert 0.5 < depth.mean() < 6
        assert masks or (sample.mask() == 255).all()
    db.close()
