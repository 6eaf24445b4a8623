"""Which ImageNet weights a worker has: looked up where the child that computes looks, and published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sqlalchemy import select

from store.database.database import Database
from store.settings import Settings, WorkerSettings
from store.tables import workers
from worker.service.background_loops import worker_upkeep
from worker.weights.folders import perceptual_weights, torch_cache


def test_torch_cache_is_where_torch_keeps_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert str(torch_cache()) == torch.hub.get_dir()
    for variable in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
        assert str(torch_cache()) == torch.hub.get_dir()


def test_weights_are_found_in_the_folder_of_the_settings_and_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    settings = Settings(worker=WorkerSettings(perceptual_weights=str(tmp_path / "folder")))
    assert perceptual_weights(settings) is None
    cached = tmp_path / "cache" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert perceptual_weights(settings) == ("alex", cached)
    (tmp_path / "folder").mkdir()
    chosen = tmp_path / "folder" / "vgg16-397923af.pth"
    chosen.touch()
    assert perceptual_weights(settings) == ("vgg", chosen)


def test_worker_publishes_whether_it_has_weights(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    (announce,) = worker_upkeep(db, "one")._chores
    published = select(workers.c.perceptual)
    for there in (False, True):
        if there:
            (tmp_path / "cache" / "hub").mkdir(parents=True)
            (tmp_path / "cache" / "hub" / "vgg16-397923af.pth").touch()
        announce.do()
        with db.read() as connection:
            assert connection.execute(published).scalar_one() is there
