"""The training script runs by itself on a tiny dataset in both layouts, and refuses other classes."""

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.datasets.training_script import TRAINING_SCRIPT, train, training_script

CLASSES = {"classes": [{"id": 0, "name": "ground"}, {"id": 1, "name": "disc"}], "ignore_index": 255}


def picture(seed: int) -> tuple[bytes, bytes]:
    """A bright square on dark ground, 16 × 16, and its mask, as PNG."""
    random = np.random.default_rng(seed)
    mask = np.zeros((16, 16), np.uint8)
    top, left = random.integers(0, 10, 2)
    mask[top : top + 6, left : left + 6] = 1
    image = np.repeat((60 + 150 * mask)[..., None], 3, 2).astype(np.uint8)
    found = []
    for array in (image, mask):
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        found.append(file.getvalue())
    return found[0], found[1]


def folder(path: Path, count: int, first: int = 0, classes: object = CLASSES) -> Path:
    for kind in ("images", "masks"):
        (path / kind).mkdir(parents=True)
    (path / "classes.json").write_text(json.dumps(classes))
    for number in range(count):
        for kind, content in zip(("images", "masks"), picture(first + number), strict=True):
            (path / kind / f"{number:03d}.png").write_bytes(content)
    return path


def shards(path: Path, count: int) -> Path:
    (path / "shards").mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps(CLASSES))
    with tarfile.open(path / "shards" / "shard-000000.tar", "w") as archive:
        for number in range(count):
            for kind, content in zip(("image", "mask"), picture(number), strict=True):
                member = tarfile.TarInfo(f"{number:09d}.{kind}.png")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def run(dataset: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the script as it stands beside a dataset, with nothing of this project on its path."""
    (dataset / TRAINING_SCRIPT).write_bytes(training_script())
    command = [sys.executable, "-I", str(dataset / TRAINING_SCRIPT), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=dataset)


@pytest.mark.parametrize("layout", [shards, pytest.param(folder, marks=pytest.mark.slow)])
def test_both_phases_run_and_print_iou_before_and_after(layout, tmp_path):
    dataset = layout(tmp_path / "dataset", 12)
    labels, test = folder(tmp_path / "labels", 4, 50), folder(tmp_path / "test", 4, 70)
    done = run(dataset, "--labels", str(labels), "--test", str(test), "--steps", "3", "--out", str(tmp_path / "net.pt"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "phase 1: 12 generated images" in lines
    assert "phase 2: 4 labelled images" in lines
    assert any(line.startswith("  disc") and " -> " in line for line in lines)
    assert lines[-1] == f"weights: {tmp_path / 'net.pt'}"
    assert (tmp_path / "net.pt").stat().st_size > 100_000


def test_labels_of_other_classes_are_refused(tmp_path, monkeypatch):
    other = {**CLASSES, "classes": [{"id": 0, "name": "ground"}, {"id": 1, "name": "hat"}]}
    labels = folder(tmp_path / "labels", 2, classes=other)
    dataset = folder(tmp_path / "dataset", 2)
    monkeypatch.setattr(sys, "argv", [TRAINING_SCRIPT, "--dataset", str(dataset), "--labels", str(labels)])
    with pytest.raises(SystemExit, match=re.escape(f"the classes of {labels} are not those of {dataset}")):
        train.main()


def test_folder_layout_is_read_at_the_wanted_size(tmp_path):
    images, masks = train.read_folder(folder(tmp_path / "labels", 3), (8, 8))
    assert (images.shape, masks.shape) == ((3, 8, 8, 3), (3, 8, 8))
    assert masks.max() == 1
