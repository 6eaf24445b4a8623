"""Zip archives of checkpoint files: which of their files are read, and what is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from core.callbacks import never_stop
from core.checkpoints.content import CheckpointContent, opened
from core.checkpoints.limits import Limits
from core.checkpoints.values import StoredTensor
from core.errors import CheckpointError, Stopped, UnsafeCheckpointError


def archive(folder: Path, **files: Any) -> Path:
    """A zip with these files; `__` in a name stands for a dot, tensors are written by torch.save."""
    path = folder / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            if isinstance(content, dict):
                torch.save(content, folder / "part")
                content = (folder / "part").read_bytes()
            target.writestr(f"folder/{name.replace('__', '.')}", content)
    return path


def read(path: Path, limits: Limits | None = None) -> CheckpointContent:
    with opened(path, limits or Limits(), never_stop) as content:
        return content


def test_a_single_checkpoint_is_read_as_if_it_were_alone_with_its_documents(tmp_path: Path) -> None:
    path = archive(tmp_path, model__bin={"w": torch.ones(2)}, config__json=json.dumps({"a": 1}), notes__txt="x")
    content = read(path)
    assert content.documents == {"config.json": {"a": 1}}
    assert isinstance(content.value["w"], StoredTensor)
    path = archive(tmp_path, model__safetensors=save({"w": torch.ones(2)}))
    tensors = read(path).tensors
    assert tensors is not None
    assert torch.equal(tensors["w"], torch.ones(2))


def test_several_checkpoints_are_a_table_by_name(tmp_path: Path) -> None:
    content = read(archive(tmp_path, G__pth={"w": torch.ones(2)}, D__pth={"v": torch.ones(2)}))
    assert {name: list(value) for name, value in content.value.items()} == {"G": ["w"], "D": ["v"]}


def test_archives_that_are_ambiguous_or_broken_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="several checkpoints"):
        read(archive(tmp_path, G__pth={"w": torch.ones(2)}, model__safetensors=save({"w": torch.ones(2)})))
    with pytest.raises(CheckpointError, match="JSON document is broken"):
        read(archive(tmp_path, G__pth={"w": torch.ones(2)}, config__json="{"))
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as target:
        for folder in ("a", "b"):
            target.writestr(f"{folder}/G.pth", b"x")
    with pytest.raises(CheckpointError, match="two files of one name"):
        read(tmp_path / "twice.zip")


def test_what_unpacks_to_more_than_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, G__pth=bytes(70 << 20))
    with pytest.raises(UnsafeCheckpointError, match="it unpacks to more than"):
        read(path)
    with pytest.raises(UnsafeCheckpointError, match="files of weights"):
        read(archive(tmp_path, **{f"G{index}__pth": b"x" for index in range(33)}))
    with pytest.raises(Stopped), opened(archive(tmp_path, G__pth=b"x"), Limits(), lambda: True):
        pass
