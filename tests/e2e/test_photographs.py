"""Real photographs go through the same door, and the report does not flatter what a generator of noise made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from offhand.sdk.client import Client
from tests.e2e import tiny
from tests.e2e.conftest import Undisturbed

IMAGES = 50
COUNT = 8


@pytest.mark.slow
def test_street_scenes_yield_an_honest_dataset(undisturbed: Undisturbed, shared: Path, tmp_path: Path) -> None:
    camvid = shared / "data" / "camvid"
    labels = tmp_path / "camvid50"
    for kind in ("images", "masks"):
        (labels / kind).mkdir(parents=True)
        for path in sorted((camvid / "train" / kind).iterdir())[:IMAGES]:
            shutil.copy(path, labels / kind)
    shutil.copy(camvid / "classes.json", labels)

    settings = {"seed": 3, "inversion": {"steps": 10}, "labeler": {"members": 2}}
    with Client(undisturbed.up.url) as client:
        job = client.datasets.generate(labels, tiny.NAME, COUNT, **settings)
        job = client.jobs.wait(job["id"], timeout=180)
        client.datasets.download(job["result"]["dataset"], tmp_path / "dataset")

    manifest = json.loads((tmp_path / "dataset" / "manifest.json").read_text())
    assert manifest["count"] == COUNT
    names = [one["name"] for one in manifest["classes"]]
    assert names == json.loads((camvid / "classes.json").read_text())["classes"]
    assert manifest["ignore_index"] == 11
    card = (tmp_path / "dataset" / "README.md").read_text()
    assert "The generator cannot redraw the labelled images" in card
    assert f"{IMAGES} of {IMAGES} are flagged" in card
