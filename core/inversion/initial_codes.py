"""Where refinement starts when no encoder is at hand."""

import torch
from torch import Tensor
from torch.nn import functional as F

from core.generators.stylegan2.network import Network
from core.inversion.objective import Objective
from core.inversion.perceptual.distance import Features

SPREAD_SAMPLES = 4096


@torch.no_grad()
def random_codes(generator: Network, count: int, seed: int) -> Tensor:
    """Mapped codes w [count, w_dim] of random latents, and of random classes where the generator has classes."""
    device = generator.w_avg.device
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.config.z_dim, generator=random).to(device)
    classes = generator.config.c_dim
    c = F.one_hot(torch.randint(classes, (count,), generator=random), classes).float().to(device) if classes else None
    return generator.map(z, c)[:, 0]


def latent_spread(generator: Network, seed: int = 0) -> float:
    """Root mean square of w - w_avg over random codes and dimensions: the size of W, the unit in which to measure
    codes.
    """
    return float((random_codes(generator, SPREAD_SAMPLES, seed) - generator.w_avg).square().mean().sqrt())


@torch.no_grad()
def best_candidates(objective: Objective, target: Tensor, features: Features, seed: int) -> Tensor:
    """For each target [N, 3, H, W] the best of ``start_candidates`` random codes, [N, num_ws, w_dim].

    The candidates depend on the seed alone, so every image chooses among the same ones.
    """
    candidates = random_codes(objective.generator, objective.config.start_candidates, seed)  # [K, w_dim]
    best = candidates[:1].expand(len(target), -1).clone()
    lowest = torch.full((len(target),), torch.inf, device=target.device)
    for w in candidates:
        image = objective.comparable(objective.draw(w[None, None]))  # [1, 3, h, w]
        seen = tuple(
            tap.expand_as(wanted) for tap, wanted in zip(objective.perceptual_features(image), features, strict=True)
        )
        l2 = (image - objective.comparable(target)).square().mean((1, 2, 3)) / 4
        loss = objective.perceptual_weight * objective.perceptual.compare(seen, features) + objective.l2_weight * l2
        better = loss < lowest
        best[better] = w
        lowest = torch.where(better, loss, lowest)
    return best[:, None].expand(-1, objective.generator.num_ws, -1)
