"""`offhand samples`: images drawn, labelled by a person, and learnt from, through the real service."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.e2e import tiny
from tests.e2e.conftest import Undisturbed
from tests.e2e.processes import offhand


def test_from_drawn_images_to_a_dataset_and_a_report(undisturbed: Undisturbed, tmp_path: Path) -> None:
    url, folder = ("--url", undisturbed.up.url), tmp_path / "drawn"
    asked = ("--count", "6", "--seed", "4", "--out", str(folder), *url)
    told = json.loads(offhand("samples", "draw", tiny.NAME, "--json", *asked).stdout)
    images = sorted((folder / "images").iterdir())
    assert (told["images"], [one.name for one in images]) == (6, [f"{index:09d}.png" for index in range(6)])
    assert "is there already" in offhand("samples", "draw", tiny.NAME, *asked, expect=1).stderr
    (folder / "masks").mkdir()
    for path in images:
        with Image.open(path) as image:
            grey = np.asarray(image).mean(2)
        Image.fromarray((grey > grey.mean()).astype(np.uint8)).save(folder / "masks" / path.name)
    (folder / "classes.json").write_text(json.dumps(["dark", "bright"]))
    made = ("--samples", told["samples"], "--out", str(tmp_path / "dataset"), *url)
    labeler = ("--set", "labeler.members=2", "--set", "labeler.max_steps=30")
    offhand("generate", str(folder), "--generator", tiny.NAME, "--count", "4", *labeler, *made)
    assert json.loads((tmp_path / "dataset" / "manifest.json").read_text())["count"] == 4
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    newest = json.loads(offhand("labelers", "ls", "--json", *url).stdout)[0]["id"]
    kept = ("--folds", "3", "--out", str(page), "--picture", str(picture), *url)
    said = offhand("labelers", "report", newest, *kept).stdout
    assert "6 images, each labelled by one of 3 labelers" in said
    assert "0 of 6 labelled images reconstructed badly" in said
    assert page.read_text().startswith("<!doctype html>")
    assert picture.read_bytes().startswith(b"\x89PNG")
