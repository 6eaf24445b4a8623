"""A critic of pictures, and how hard it pulls at whoever draws them.

Regression makes soft pictures: where an edge may lie here or there its best answer lies between. A critic that has to
tell drawn from rendered pictures sees that at once. It compares two pictures of the same scene (the relativistic loss
of Jolicoeur-Martineau 2018, with gradient penalties on both sides as R3GAN, Huang et al. 2024), so what is shown tells
it nothing and only how it is drawn does.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from testbed.recipes.crew import Crew

RATE = 1e-3
PENALTY = 0.2
"""Of the squared gradient's norm with respect to the picture."""
EVERY = 8
"""Steps from one penalty to the next, on a quarter of the pictures: it costs more than all else that the critic does."""
PULL = 3.0
"""Of the critic at a picture's values, in units of the pull of their absolute error."""
SLOW_START = 1000
"""Steps over which the pull grows: a critic that has learnt nothing pulls anywhere."""


class Critic(nn.Module):
    """Pictures [N, 3, 64, 64] in [-1, 1] → how rendered they look, [N]; residual, without normalisation."""

    def __init__(self, channels: tuple[int, ...] = (40, 80, 128, 192)) -> None:
        super().__init__()
        self.begin = nn.Conv2d(12, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(Halving(a, b) for a, b in pairwise(channels))
        self.hidden = nn.Linear(4 * 4 * channels[-1], 128)
        self.end = nn.Linear(128, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last)  # [N, 12, 32, 32]
        x = self.begin(x)
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(self.hidden(F.leaky_relu(x, 0.2).flatten(1)), 0.2)
        verdict: Tensor = self.end(x)[:, 0]
        return verdict


class Halving(nn.Module):
    """Half the size, more channels: what it adds to the shortcut is nothing when fresh."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
        nn.init.zeros_(self.conv1.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, inputs, h, w] → [N, outputs, h/2, w/2]."""
        change = F.avg_pool2d(F.leaky_relu(self.conv0(F.leaky_relu(x, 0.2)), 0.2), 2)
        shorter: Tensor = self.shortcut(F.avg_pool2d(x, 2))
        return shorter + self.conv1(change)


class Critique:
    """A critic that learns while it is asked."""

    def __init__(self, critic: Critic, crew: Crew) -> None:
        self.critic, self.crew = critic, crew
        self.optimizer = torch.optim.Adam(critic.parameters(), lr=RATE, betas=(0.0, 0.99), fused=True)
        self.step = 0
        self.strength = 0.0
        self.told = 0.0
        """Running mean of how much more rendered the critic finds what is rendered; 0 where it cannot tell."""

    def pull(self, drawn: Tensor, rendered: Tensor) -> Tensor:
        """Gradient [N, 3, 64, 64] to add to that of the values of ``drawn`` [N, 3, 64, 64], pictures of the same scenes
        as ``rendered``; the critic learns from both.
        """
        drawn = drawn.detach().requires_grad_()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            verdicts = self.critic(torch.cat([drawn, rendered])).float()
        lead = torch.sub(*verdicts.chunk(2))  # [N], > 0 where the drawn picture looks more rendered
        F.softplus(lead).sum().backward()
        assert drawn.grad is not None
        # One pass serves both: what the critic wants less of, softplus(lead), and what the one who draws does,
        # softplus(-lead), differ in how hard each picture pulls.
        lead = lead.detach()
        gradient = drawn.grad * (-(-lead).clamp(max=20).exp())[:, None, None, None]
        for parameter in self.critic.parameters():
            if parameter.grad is not None:
                parameter.grad /= len(lead)
        if self.step % EVERY == 0:
            some = slice(self.step // EVERY % 4, None, 4)
            (EVERY * PENALTY / 2 * self._steepness(torch.cat([drawn.detach()[some], rendered[some]]))).backward()
        strength = self.crew.average(list(self.critic.parameters()), float(gradient.square().mean().sqrt()))
        self.optimizer.step()
        self.strength = 0.99 * self.strength + 0.01 * strength if self.step else strength
        self.told = 0.99 * self.told - 0.01 * float(lead.mean())
        self.step += 1
        return gradient * (PULL * min(1.0, self.step / SLOW_START) / (self.strength * gradient.numel()))

    def _steepness(self, images: Tensor) -> Tensor:
        """Mean squared norm of the verdict's gradient at images, differentiable."""
        images = images.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            verdicts = self.critic(images).float()
        slope = torch.autograd.grad(verdicts.sum(), images, create_graph=True)[0]
        return slope.square().sum((1, 2, 3)).mean()
