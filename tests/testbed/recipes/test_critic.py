"""A critic learns to tell drawn from rendered pictures, and says which way is better."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from testbed.recipes import critic as critics
from testbed.recipes import heads64
from testbed.recipes.crew import Crew
from testbed.recipes.critic import Critic, Critique


@pytest.fixture(scope="module")
def rendered() -> Tensor:
    return heads64.RECIPE.stretch(3, 0, 128).images


def _soft(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)


def test_a_fresh_critic_learns_to_tell_soft_pictures_and_pulls_towards_sharp_ones(rendered: Tensor) -> None:
    torch.manual_seed(0)
    critique = Critique(Critic(), Crew())
    drawn = _soft(rendered)
    for step in range(64):
        rows = slice(step % 7 * 16, step % 7 * 16 + 16)
        critique.pull(drawn[rows], rendered[rows])
    held_out = slice(112, 128)
    with torch.no_grad():
        lead = critique.critic(drawn[held_out]) - critique.critic(rendered[held_out])
    assert (lead < 0).float().mean() > 0.9
    assert critique.told > 0.1
    downhill = -critique.pull(drawn[held_out], rendered[held_out])
    assert downhill.shape == (16, 3, 64, 64)
    towards = rendered[held_out] - drawn[held_out]
    assert F.cosine_similarity(downhill.flatten(1), towards.flatten(1)).mean() > 0.1


def test_the_pull_is_the_slope_of_its_loss_and_as_strong_as_is_said(
    rendered: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    critic = Critic()
    with torch.no_grad():  # a fresh critic sees almost nothing: its blocks add nothing yet
        for block in critic.blocks:
            block.conv1.weight.normal_(std=0.1)
    monkeypatch.setattr(critics, "RATE", 0.0)
    critique = Critique(critic, Crew())
    critique.step = critics.SLOW_START  # the whole pull
    monkeypatch.setattr(critics, "EVERY", 10**6)
    drawn = _soft(rendered[:8]).requires_grad_()
    loss = F.softplus(critic(rendered[:8]) - critic(drawn)).sum()
    exact = torch.autograd.grad(loss, drawn)[0]
    critique.strength = float(exact.square().mean().sqrt())
    pull = critique.pull(drawn, rendered[:8])
    assert F.cosine_similarity(pull.flatten(1), exact.flatten(1)).min() > 0.98  # the critic looks in bfloat16
    assert float(pull.square().mean().sqrt() * pull.numel()) == pytest.approx(critics.PULL, rel=0.05)
