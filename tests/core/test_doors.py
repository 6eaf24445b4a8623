"""Archives and checkpoints that are spoilt at random: each is read or refused in our own words, and nothing else.

The default run tries a few hundred; `pytest -m slow tests/core/test_doors.py` the number that SECURITY.md names.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import CheckpointError, LabelSetError
from core.generators.importing import import_checkpoint
from core.label_sets.reading.archive import ArchiveLimits
from core.label_sets.reading.reader import read_label_set
from tests.core.checkpoints import writers
from tests.core.datasets.archives import good_files, write_tar, write_zip


def spoilt(content: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, left out, put in, moved, or the end cut off."""
    made = bytearray(content)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(made))
        length = draw.choice((1, 1, 2, 4, 8, 64))
        match draw.randrange(6):
            case 0:
                made[at] ^= 1 << draw.randrange(8)
            case 1:
                made[at : at + length] = draw.randbytes(length)
            case 2:
                del made[at : at + length]
            case 3:
                made[at:at] = draw.randbytes(length)
            case 4:
                made[at : at + length] = draw.choice((b"\xff", b"\0")) * length
            case _:
                there = draw.randrange(len(made))
                made[at : at + length] = made[there : there + length]
        if draw.random() < 0.05:
            del made[draw.randrange(1, len(made)) :]
    return bytes(made)


def zipped(path: Path) -> bytes:
    return write_zip(path, good_files(2)).read_bytes()


def tarred(path: Path) -> bytes:
    return write_tar(path, good_files(2)).read_bytes()


def gzipped(path: Path) -> bytes:
    return write_tar(path, good_files(2), "w:gz").read_bytes()


def cases(few: int, many: int) -> list[object]:
    return [few, pytest.param(many, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]


@pytest.mark.parametrize("count", cases(60, 2000))
@pytest.mark.parametrize("make", [zipped, tarred, gzipped])
def test_spoilt_archives(tmp_path: Path, make: Callable[[Path], bytes], count: int) -> None:
    good, draw = make(tmp_path / "good"), random.Random(make.__name__)
    archive, into = tmp_path / "labels", tmp_path / "into"
    refused = 0
    for _ in range(count):
        archive.write_bytes(spoilt(good, draw))
        try:
            read_label_set(archive, into, archive_limits=ArchiveLimits(max_total_bytes=64 << 20))
        except LabelSetError as error:
            refused += bool(error.problems)
    assert refused > count / 2
    assert {path.name for path in tmp_path.iterdir()} == {"good", "labels", "into"}


@pytest.mark.parametrize("count", cases(20, 500))
def test_spoilt_checkpoints(tmp_path: Path, count: int) -> None:
    good = writers.nvidia_pickle(writers.nvidia_state(writers.trained()))
    draw, path = random.Random(0), tmp_path / "network.pkl"
    refused = 0
    for number in range(count):
        # The instructions are at the beginning: most of what follows is numbers.
        content = spoilt(good[:6000], draw) + good[6000:] if number % 4 else spoilt(good, draw)
        path.write_bytes(content)
        try:
            import_checkpoint(path)
        except CheckpointError as error:
            refused += error.code in ("bad_checkpoint", "unsafe_checkpoint")
    assert refused > count / 2
    assert {path.name for path in tmp_path.iterdir()} == {"network.pkl"}
