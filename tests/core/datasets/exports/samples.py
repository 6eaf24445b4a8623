"""A small finished dataset: samples as a shard holds them, with a gap among the ids and pixels to ignore."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from core.datasets.classes import ClassMap
from core.datasets.exports import ExportFormat, export
from core.datasets.exports.facts import ExportFacts
from core.datasets.palette import colours
from core.datasets.samples import StoredSample, encode_sample

CLASSES = ClassMap({0: "background", 1: "head", 4: 'hat & "scarf"'}, 255)
FACTS = ExportFacts("ds_1", CLASSES, 3, "CC0-1.0", {"README.md": b"# Heads\n"})
INDICES = (0, 4, 7)


def sample(index: int, height: int = 18, width: int = 24) -> StoredSample:
    """Regions with holes, corners that touch and single pixels; the same for the same index."""
    rng = np.random.default_rng(index)
    mask = np.kron(rng.choice(np.array([0, 1, 4, 255], np.uint8), (height // 3, width // 3)), np.ones((3, 3), np.uint8))
    mask[rng.integers(0, height, 9), rng.integers(0, width, 9)] = 4
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    record = {"index": index, "uncertainty": 0.25 * index}
    return StoredSample(index, encode_sample(image, mask, np.zeros((2, 3), np.float32), record, colours(CLASSES)))


def samples() -> list[StoredSample]:
    return [sample(index) for index in INDICES]


def exported(
    format: ExportFormat, folder: Path, of: Iterable[StoredSample] | None = None, facts: ExportFacts = FACTS
) -> Path:
    """The export unpacked into a folder, by the standard library, which checks every sum on the way."""
    archive, scratch, unpacked = folder / f"{format}.zip", folder / "scratch", folder / format
    scratch.mkdir()
    with archive.open("wb") as target:
        export(format, iter(samples()) if of is None else of, facts, target, scratch)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(unpacked)
    return unpacked
