"""Trainings in two processes with gloo: the weights and figures of a single process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from core.errors import GeneratorError
from core.generators.stylegan2.training.discriminator import with_minibatch_stddev
from core.generators.stylegan2.training.processes import Processes
from tests.core.generators.stylegan2.training.shared_batch import train

MODULE = "tests.core.generators.stylegan2.training.shared_batch"


def placed(rank: int, size: int, batch: int, group: int) -> Processes:
    processes = Processes(batch, group)
    processes.size, processes.rank = size, rank
    return processes


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (16, 4), (12, 3)])
def test_rows_of_the_processes_are_whole_groups_of_the_minibatch_statistic(batch: int, group: int) -> None:
    images = torch.randn(batch, 3, 4, 4)
    expected = with_minibatch_stddev(images, group)
    rows = [placed(rank, 2, batch, group).rows(batch) for rank in range(2)]
    assert sorted(rows[0] + rows[1]) == list(range(batch))
    for mine in rows:
        torch.testing.assert_close(with_minibatch_stddev(images[mine], group), expected[mine])


def test_single_process_changes_nothing() -> None:
    processes, rows = Processes(8, 4), torch.randn(8, 2, requires_grad=True)
    assert processes.whole(rows) is rows
    assert processes.mean(rows) is rows
    assert processes.own(range(8)) == list(range(8))
    assert processes.share(8) == 8


def test_batch_that_cannot_be_shared_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.generators.stylegan2.training.processes.dist.is_initialized", lambda: True)
    monkeypatch.setattr("core.generators.stylegan2.training.processes.dist.get_world_size", lambda: 2)
    monkeypatch.setattr("core.generators.stylegan2.training.processes.dist.get_rank", lambda: 0)
    with pytest.raises(GeneratorError, match="in a multiple of 2 processes, found 4 / 4"):
        Processes(4, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{}, {"augmentation": "diffaugment", "twins_weight": 0.0}, {"augmentation": "none", "r1_of_augmented": True}],
    ids=["ADA, twins, path length, LeCam", "DiffAugment", "no augmentation"],
)
def test_two_processes_agree_with_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    path = tmp_path / "weights.safetensors"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, "-m", MODULE, str(path), json.dumps(settings)], check=True, timeout=300)
    two, figures = safetensors.torch.load_file(path), json.loads(path.with_suffix(".json").read_text())
    one, expected = train(settings)
    assert figures == pytest.approx(expected, abs=1e-5)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-4, rtol=1e-4, msg=name)
