"""Matrices move alike in all their directions, by the same steps in every process."""

from pathlib import Path

import pytest
import torch

from testbed.recipes.crew import Crew, together
from testbed.recipes.muon import STEP, Muon, muon_and_adam, orthogonal, set_rate


@pytest.mark.parametrize("shape", [(24, 90), (90, 24)])
def test_directions_are_kept_and_their_strengths_made_alike(shape: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    u, s, vt = torch.linalg.svd(torch.randn(shape, generator=random), full_matrices=False)
    matrix = (u * s.square()) @ vt
    strengths = (u.T @ orthogonal(matrix) @ vt.T).diagonal()
    assert 0.6 < strengths.min() < strengths.max() < 1.3
    assert torch.allclose(orthogonal(matrix), (u * strengths) @ vt, atol=1e-4)
    assert orthogonal(1000 * matrix).sub(orthogonal(matrix)).abs().max() < 1e-4


def test_matrices_go_to_muon_the_rest_to_adam_and_each_at_its_own_pace() -> None:
    first, second = torch.nn.Linear(16, 12), torch.nn.Linear(12, 3)  # three rows: no matrix
    learners = [(list(first.parameters()), 1.0), (list(second.parameters()), 0.25)]
    adam, muon = muon_and_adam(learners, Crew(), matrix_pace=3.0)
    set_rate((adam, muon), 0.1)
    rates = {p: group["lr"] for one in (adam, muon) for group in one.param_groups for p in group["params"]}
    assert rates == pytest.approx({first.weight: 0.3, first.bias: 0.1, second.weight: 0.025, second.bias: 0.025})
    assert [len(group["params"]) for group in muon.param_groups] == [1, 0]


def test_a_step_has_the_size_that_the_rate_asks_for_and_finds_what_is_rare() -> None:
    """One direction pulls a hundred times harder than the other; both are learnt."""
    strength = torch.tensor([10.0, 1.0])
    weight = torch.nn.Parameter(torch.zeros(2, 8))
    wanted = torch.eye(2, 8)
    optimizer = Muon([weight], 0.1, Crew())
    for step in range(200):
        loss = ((weight - wanted) * strength[:, None]).square().sum()
        weight.grad = None
        loss.backward()
        before = weight.detach().clone()
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - step / 200)
        optimizer.step()
        if step == 0:
            moved = (weight.detach() - before).norm(dim=1) / (0.1 * STEP * 8**0.5)
            assert 0.6 < moved.min() < moved.max() < 1.3
    assert torch.allclose(weight, wanted, atol=0.02)


def test_steps_equal_those_of_torch_muon() -> None:
    random = torch.Generator().manual_seed(2)
    start = torch.randn(20, 30, generator=random)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizer = Muon([ours], 0.01, Crew())
    optimizer.dtype = torch.float32
    library = torch.optim.Muon([theirs], 0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        ours.grad = torch.randn(start.shape, generator=random)
        theirs.grad = ours.grad.clone()
        optimizer.step()
        library.step()
    moved = (theirs.detach() - start).norm()
    # torch rounds to bfloat16: 1 to 3 % of a step. Momentum without Nesterov's look-ahead would differ by 26 %.
    assert (ours.detach() - theirs.detach()).norm() < 0.04 * moved


def _take_steps(crew: Crew, folder: Path) -> None:
    random = torch.Generator().manual_seed(1)
    weights = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in ((6, 4, 3, 3), (5, 9), (7, 7))]
    optimizer = Muon([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.02}], 0.01, crew)
    optimizer.dtype = torch.float32
    for _ in range(3):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=random)
        optimizer.step()
    torch.save([weight.detach() for weight in weights], folder / f"{crew.size}-{crew.rank}.pt")


@pytest.mark.slow
def test_processes_that_share_the_work_take_the_same_steps_as_one_alone(tmp_path: Path) -> None:
    together(2, _take_steps, tmp_path)
    _take_steps(Crew(), tmp_path)
    alone = torch.load(tmp_path / "1-0.pt")
    for rank in (0, 1):
        for one, other in zip(alone, torch.load(tmp_path / f"2-{rank}.pt"), strict=True):
            assert torch.allclose(one, other, atol=1e-6)
