"""A small finished dataset: samples as a shard holds them, with a gap among the ids and pixels to ignore."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.datasets.samples import StoredSample, encode_sample
from core.formats.facts import ExportFacts
from core.formats.writers import ExportFormat, export
from core.label_sets.classes import ClassMap
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.keypoints import KeypointMap
from core.label_sets.palette import colours

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


POINTS = KeypointMap(("left eye", "nose", "tail"))
#: What a dataset of every task says of itself, and one of keypoints and depth alone.
EVERYTHING = ExportFacts("ds_2", CLASSES, 3, "CC0-1.0", {"README.md": b"# Heads\n"}, POINTS, DepthUnit("m", 0.001, 9))
NO_CLASSES = replace(EVERYTHING, classes=ClassMap({}, 255))


def sample_of_everything(index: int, height: int = 18, width: int = 24) -> StoredSample:
    """The same sample with keypoints, one of them not found, and depth, some of it unknown."""
    plain = sample(index, height, width)
    rng = np.random.default_rng(index + 100)
    points = [[1.5, 2.25, 2, 0.9], [float(index), 3.0, 2, 0.5], [0.0, 0.0, 0, 0.01]]
    record = {"index": index, "uncertainty": 0.25 * index, "keypoints": points}
    depth = rng.random((height, width), np.float32)
    depth[0] = 0
    latent = np.zeros((2, 3), np.float32)
    files = encode_sample(plain.image(), plain.mask(), latent, record, colours(CLASSES), depth=depth)
    return StoredSample(index, files)


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
