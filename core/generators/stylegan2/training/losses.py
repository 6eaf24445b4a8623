"""Losses of adversarial training, each a function of tensors."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional as F


def generator_loss(fake: Tensor) -> Tensor:
    """Return the non-saturating loss, float [N, 1], of logits of fakes (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake)


def discriminator_loss_of_fakes(fake: Tensor) -> Tensor:
    """Return -log(1 - sigmoid(logit)), float [N, 1]."""
    return F.softplus(fake)


def discriminator_loss_of_reals(real: Tensor) -> Tensor:
    """Return -log(sigmoid(logit)), float [N, 1]."""
    return F.softplus(-real)


def r1_penalty(real_logits: Tensor, images: Tensor) -> Tensor:
    """Return ‖∂D/∂image‖² of each real image, float [N]; half of it times gamma is the loss (Mescheder et al. 2018,
    equation 9).
    """
    (slope,) = torch.autograd.grad(real_logits.sum(), images, create_graph=True)
    return slope.square().sum((1, 2, 3))


def path_lengths(images: Tensor, w_plus: Tensor, noise: Tensor | None = None) -> Tensor:
    """Return ‖Jᵀy‖ of each image, float [N], for a random image y (Karras et al. 2020, equation 4).

    The norm is the root of the mean over layers of the squared norms. images: float [N, C, H, W], of w_plus float
    [N, num_ws, w_dim]. noise: y before it is divided by √(H W), standard normal of the images' shape; None to draw it.
    """
    noise = torch.randn_like(images) if noise is None else noise
    scaled = (images * noise).sum() / sqrt(images.shape[2] * images.shape[3])
    (slope,) = torch.autograd.grad(scaled, w_plus, create_graph=True)
    return slope.square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: Tensor, mean: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Return the squared deviation of path lengths [N] from their running mean, and the mean's new value (detached).

    The mean moves before the deviation is taken, and the gradient flows through the moved mean.
    """
    moved = mean.lerp(lengths.mean(), decay)
    return (lengths - moved).square(), moved.detach()


@dataclass
class LeCam:
    """LeCam regularisation (Tseng et al. 2021, equation 4): running means of the logits, and the loss against them.

    Until ``start`` the means equal the last values, and the first value sets them.
    """

    decay: float = 0.99
    start: int = 0
    real: float | None = None
    fake: float | None = None

    def update(self, real: Tensor, fake: Tensor, step: int) -> None:
        """Take the mean logits of step ``step`` into account."""
        self.real = self._moved(self.real, float(real.detach().mean()), step)
        self.fake = self._moved(self.fake, float(fake.detach().mean()), step)

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of logits [N, 1] against the running means; :meth:`update` comes first."""
        assert self.real is not None
        assert self.fake is not None
        return F.relu(real - self.fake).square().mean() + F.relu(self.real - fake).square().mean()

    def _moved(self, mean: float | None, value: float, step: int) -> float:
        if mean is None or step < self.start:
            return value
        return mean * self.decay + value * (1 - self.decay)


@torch.no_grad()
def clean_gradients(parameters: list[torch.nn.Parameter]) -> int:
    """Replace NaN by 0 and infinities by ±1e5 in gradients; return the number of parameters that had any."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    # One look at the norms for all, so that a device is not stalled once a parameter.
    finite = torch.stack(torch._foreach_norm(gradients)).isfinite() if gradients else torch.ones(1, dtype=torch.bool)
    if bool(finite.all()):
        return 0
    suspects = [gradient for gradient, fine in zip(gradients, finite.tolist(), strict=True) if not fine]
    broken = [gradient for gradient in suspects if not bool(gradient.isfinite().all())]
    for gradient in broken:
        torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
    return len(broken)


def ema_decay(batch: int, images: int, ema_images: float, ramp_up: float | None) -> float:
    """Return the decay of the running mean of the weights: a half-life of ``ema_images`` images.

    images: seen before this batch. ramp_up: the half-life is at most this share of them (Karras et al. 2020a, appendix
    B); None for no ramp.
    """
    half_life = ema_images if ramp_up is None else min(ema_images, images * ramp_up)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


@torch.no_grad()
def move_ema(ema: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Move the mean's parameters toward the network's by ``1 - decay``, and copy the buffers."""
    means: list[Tensor] = list(ema.parameters())
    values = [value.detach() for value in network.parameters()]
    torch._foreach_lerp_(means, values, 1 - decay)
    for mean, value in zip(ema.buffers(), network.buffers(), strict=True):
        mean.copy_(value)


def corrected_adam(
    parameters: list[torch.nn.Parameter], learning_rate: float, betas: tuple[float, float], interval: int
) -> torch.optim.Adam:
    """Return Adam whose rate and betas make up for the steps of a regulariser every ``interval`` steps (Karras et al.
    2020, appendix B, "lazy regularization").
    """
    ratio = interval / (interval + 1)
    exponents = float(betas[0]) ** ratio if betas[0] else 0.0, float(betas[1]) ** ratio
    # Not fused: on a CPU a resumed run then ended at weights that differed in the last bits.
    return torch.optim.Adam(parameters, lr=learning_rate * ratio, betas=exponents, eps=1e-8)
