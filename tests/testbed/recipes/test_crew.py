"""Several processes, one training."""

import json
from pathlib import Path

import torch

from testbed.recipes.crew import Crew, together


def _take_a_step(crew: Crew, folder: Path) -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    untouched = torch.nn.Parameter(torch.zeros(1))
    (weight.sum() * (1 + 2 * crew.rank)).backward()
    told = crew.average([weight, untouched], float(crew.rank))
    assert weight.grad is not None
    facts = {"grad": weight.grad.tolist(), "told": told, "first": crew.first}
    (folder / f"{crew.rank}.json").write_text(json.dumps(facts))


def test_gradients_are_averaged_and_a_number_is_agreed_on(tmp_path: Path) -> None:
    together(2, _take_a_step, tmp_path)
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert one["grad"] == other["grad"] == [[2.0] * 3] * 2
    assert one["told"] == other["told"] == 0.5
    assert (one["first"], other["first"]) == (True, False)


def test_a_process_alone_keeps_its_own(tmp_path: Path) -> None:
    together(1, _take_a_step, tmp_path)
    assert json.loads((tmp_path / "0.json").read_text()) == {"grad": [[1.0] * 3] * 2, "told": 0.0, "first": True}
