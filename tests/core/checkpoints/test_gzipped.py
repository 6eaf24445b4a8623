"""Checkpoints that were compressed with gzip: read as what is inside, bounded, and nothing is left behind."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from core.checkpoints.limits import Limits
from core.errors import CheckpointError, UnsafeCheckpointError
from core.generators.importing import import_checkpoint
from tests.core.checkpoints import writers
from tests.core.checkpoints.writers import trained
from tests.core.generators.test_importing import UNCLAMPED, assert_same, written


def test_gzip_of_each_container_is_read(tmp_path: Path) -> None:
    network = trained(UNCLAMPED)
    contents = [writers.tensorflow_pickle(network)]
    for older in (True, False):
        path = writers.save_rosinality(tmp_path / "g.pt", writers.rosinality_state(network), network.w_avg, older=older)
        contents.append(path.read_bytes())
    (tmp_path / "in").mkdir()
    for number, content in enumerate(contents):
        path = written(tmp_path / "in", gzip.compress(content, 1), f"{number}.pt.gz")
        imported = import_checkpoint(path)
        assert_same(imported, network)
        assert imported.report.file_bytes == path.stat().st_size
    assert len(list((tmp_path / "in").iterdir())) == len(contents), "the unpacked files are removed"


def test_gzip_that_is_damaged_holds_nothing_or_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(writers.tensorflow_pickle(trained(UNCLAMPED)), 1)
    with pytest.raises(CheckpointError, match="gzip file is damaged"):
        import_checkpoint(written(tmp_path, whole[:-20], "cut.gz"))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        import_checkpoint(written(tmp_path, gzip.compress(b""), "empty.gz"))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        import_checkpoint(written(tmp_path, gzip.compress(whole, 1), "twice.gz"))
    with pytest.raises(UnsafeCheckpointError, match="unpacks to more than"):
        import_checkpoint(written(tmp_path, gzip.compress(bytes(65 << 20), 1), "bomb.gz"))
    limits = Limits(file_bytes=len(whole))
    torch.save({"g_ema": torch.zeros(len(whole))}, tmp_path / "zeros.pt")
    path = written(tmp_path, gzip.compress((tmp_path / "zeros.pt").read_bytes(), 1), "z.gz")
    with pytest.raises(UnsafeCheckpointError, match="unpacks to more than"):
        import_checkpoint(path, limits=limits)
    assert {path.suffix for path in tmp_path.iterdir()} == {".gz", ".pt"}
