"""The recipe goes on from its state, or from what is shipped, and its loss means what it says."""

from pathlib import Path

import pytest
import torch

from core.generators.files import load_generator, shipped_generators
from testbed.recipes import heads64


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(heads64, "STATE", tmp_path / "state.pt")
    return tmp_path / "state.pt"


def test_without_a_state_it_goes_on_from_the_shipped_generator(state: Path) -> None:
    training = heads64.Training().load()
    shipped = load_generator(shipped_generators()["heads64"]).network
    assert training.images == training.log[-1]["images"] > 0
    z = torch.randn(2, heads64.CONFIG.z_dim, generator=torch.Generator().manual_seed(0))
    drawn = [g.synthesize(g.map(z), noise="none").image for g in (training.average, training.generator, shipped)]
    assert torch.allclose(drawn[0], drawn[2], atol=1e-5)
    assert torch.allclose(drawn[1], drawn[2], atol=1e-5)


def test_a_saved_state_comes_back_whole(state: Path) -> None:
    training = heads64.Training()
    training.images = 4096
    with torch.no_grad():
        training.reader[0].bias.fill_(0.5)
    training.save()
    again = heads64.Training().load()
    assert again.images == 4096
    assert torch.equal(again.reader[0].bias, training.reader[0].bias)
    assert torch.equal(again.plaster.layers[0].weight, training.plaster.layers[0].weight)
    assert not Path(f"{state}.new").exists()


def test_a_short_run_learns_and_reports(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads64, "CHUNK", 64)
    training = heads64.Training()
    heads64.run(training, "draw", minutes=0.08, rate=lambda gone: 5e-3)
    assert training.images > 0
    assert training.log[-1]["phase"] == "draw"
    assert state.exists()


def test_the_loss_is_zero_for_the_picture_itself_and_weighs_pixels() -> None:
    _, _, images, weights, surface = heads64.heads(heads64.VALIDATION_SEED, 0, 4)
    assert weights.mean() == pytest.approx(1.0)
    assert surface.shape == (4, 4, 64, 64)
    assert heads64.picture_loss(images, images, weights) == 0
    small, large = weights[0, 0] == weights[0].max(), weights[0, 0] == weights[0].min()
    costs = []
    for part in (small, large):
        changed = images[:1].clone()
        changed[0, :, part] += 0.5
        costs.append(float(heads64.picture_loss(changed, images[:1], weights[:1])) / int(part.sum()))
    assert costs[0] > 4 * costs[1]
