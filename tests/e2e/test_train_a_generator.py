"""The commands of docs/train-a-generator.md, at 16x16 and for seconds: from photographs to a dataset."""

from __future__ import annotations

import json
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Undisturbed
from tests.e2e.processes import offhand
from tests.worker.steps.generators.test_train_generator import TINY, write_photographs


def commands(page: str) -> list[list[str]]:
    """Return the words of each `offhand` command in the page's blocks."""
    blocks = re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0] for block in blocks for line in block.splitlines() if line.startswith("offhand ")]
    return [shlex.split(line)[1:] for line in lines]


def add_masks(folder: Path) -> None:
    """Label images: brighter than the image's mean, or not."""
    (folder / "masks").mkdir()
    for path in sorted((folder / "images").iterdir()):
        with Image.open(path) as image:
            grey = np.asarray(image).mean(2)
        Image.fromarray((grey > grey.mean()).astype(np.uint8)).save(folder / "masks" / path.name)
    (folder / "classes.json").write_text(json.dumps(["dark", "bright"]))


def label_photographs(archive: Path, folder: Path, count: int = 16) -> None:
    """Unpack the first photographs of an archive and label them."""
    (folder / "images").mkdir(parents=True)
    with zipfile.ZipFile(archive) as photographs:
        for name in sorted(photographs.namelist())[:count]:
            (folder / "images" / Path(name).name).write_bytes(photographs.read(name))
    add_masks(folder)


@pytest.mark.slow
def test_commands_of_the_guide_go_from_photographs_to_a_dataset(
    undisturbed: Undisturbed, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photographs.zip", count=80)
    label_photographs(tmp_path / "photographs.zip", tmp_path / "labels")
    train, preview, report, draw, *generate = commands((repository / "docs" / "train-a-generator.md").read_text())
    assert [words[:2] for words in (train, preview, report, draw)] == [
        ["generators", "train"], ["generators", "preview"], ["generators", "report"], ["samples", "draw"],
    ]  # fmt: skip
    assert [words[:2] for words in generate] == [["generate", "labels"], ["generate", "drawn"]]
    url = ("--url", undisturbed.up.url)
    small = [f"--set={name}={json.dumps(value)}" for name, value in TINY.items()]
    train[train.index("photographs")] = "photographs.zip"
    train[train.index("64")] = "16"
    hours = train.index("--hours")
    train[hours : hours + 2] = ["--kimg", "0.08"]
    trained = offhand(*train, *small, "--no-prepare", *url)
    assert "ended: the budget is spent" in trained.stdout
    assert "CC BY 4.0" in trained.stdout
    offhand("generators", "prepare", "xrays", "--set", "perceptual_steps=4", "--set", "encoder_steps=4", *url)
    offhand(*preview, *url)
    assert (tmp_path / "xrays.png").read_bytes().startswith(b"\x89PNG")
    offhand(*report, *url)
    assert "closest pairs" in (tmp_path / "report.html").read_text()
    assess = ("generators", "assess", "xrays", "--images", "xrays", "--count", "50", "--json")
    assessed = json.loads(offhand(*assess, *url).stdout)
    assert assessed["scores"][0]["spec"]["extractor"].startswith("domain"), "the network that was prepared"
    assert "trained     80 images" in offhand("generators", "show", "xrays", *url).stdout
    drawn = json.loads(offhand(*draw, "--json", *url).stdout)
    add_masks(tmp_path / "drawn")
    few = ("--set", "labeler.members=2", "--set", "labeler.max_steps=30", "--set", "inversion.steps=4", "--force")
    for words in generate:
        words = [drawn["samples"] if word == "SAMPLES" else word for word in words]
        words[words.index("200")] = "4"
        offhand(*words, *few, *url)
    for folder in ("lungs", "drawn-lungs"):
        assert json.loads((tmp_path / folder / "manifest.json").read_text())["count"] == 4
    again = offhand(*train, *url, expect=1)
    assert "there is an image set xrays already" in again.stderr
