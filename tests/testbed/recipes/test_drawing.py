"""A synthesis network learns by regression, with the code reader or with the mapping network."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from testbed.recipes import recipe as recipes
from testbed.recipes import streets64
from testbed.recipes.drawing import draw, join
from testbed.recipes.training import Training


def test_a_short_run_learns_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "CHUNK", 64)
    recipe = replace(streets64.RECIPE, out=tmp_path)
    training = Training(recipe)
    draw(training, minutes=0.08)
    assert training.images > 0
    assert training.log[-1]["phase"] == "draw"
    assert recipe.state == tmp_path / "streets64" / "state.pt"
    assert recipe.state.exists()


@pytest.mark.slow
def test_mapping_and_synthesis_learn_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "CHUNK", 64)
    training = Training(replace(streets64.RECIPE, out=tmp_path)).load()
    mapping, reader = training.generator.mapping.layers[0].weight.clone(), training.reader[0].weight.clone()
    join(training, minutes=0.02)
    assert training.log[-1]["phase"] == "join"
    assert not torch.equal(training.generator.mapping.layers[0].weight, mapping)
    assert torch.equal(training.reader[0].weight, reader)
