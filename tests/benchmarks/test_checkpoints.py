"""The benchmark's files are real checkpoints: each is imported and gives back its numbers."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.checkpoints import WRITERS, main
from core.generators.importing import import_checkpoint
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network


@pytest.mark.parametrize("name", list(WRITERS))
def test_what_is_measured_is_an_import(name: str, tmp_path: Path) -> None:
    config = StyleGAN2Config(resolution=(16, 16), channels={0: 4, 1: 3, 2: 2}, z_dim=4, w_dim=4, mapping_layers=2)
    network = Network(config).requires_grad_(False)
    WRITERS[name](tmp_path / name, network)
    generator = import_checkpoint(tmp_path / name).generator
    assert isinstance(generator, StyleGAN2Generator)
    imported = generator.network
    assert imported.config == config
    for key, tensor in network.state_dict().items():
        assert torch.equal(imported.state_dict()[key], tensor), key


@pytest.mark.slow
def test_it_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "numbers.json"
    main(["--json", str(target), "--resolution", "8", "--repeats", "1"])
    rows = json.loads(target.read_text())["rows"]
    assert [row["file"] for row in rows] == list(WRITERS)
    assert all(row["peak_mib"] > 0 for row in rows)
    assert "peak/file" in capsys.readouterr().out
