"""Starting codes of a refinement without an encoder, and the spread of a generator's codes."""

import torch
from torch import Tensor

from core.generators.interface import Invertible
from core.inversion.objective import Objective
from core.inversion.perceptual.distance import Features

SPREAD_SAMPLES = 4096


def latent_spread(sampler: Invertible, seed: int = 0) -> float:
    """Return the root mean square of row - centre over random codes and dimensions: the unit in which codes are
    measured.
    """
    return float((sampler.random_rows(SPREAD_SAMPLES, seed) - sampler.centre).square().mean().sqrt())


@torch.no_grad()
def best_candidates(objective: Objective, target: Tensor, features: Features, seed: int) -> Tensor:
    """For each target [N, 3, H, W] the best of ``start_candidates`` random codes, [N, rows, width].

    The candidates depend on the seed alone, so every image chooses among the same ones.
    """
    candidates = objective.sampler.random_rows(objective.config.start_candidates, seed)  # [K, width]
    best = candidates[:1].expand(len(target), -1).clone()
    lowest = torch.full((len(target),), torch.inf, device=target.device)
    for row in candidates:
        image = objective.comparable(objective.draw(row[None, None]))  # [1, 3, h, w]
        seen = tuple(
            tap.expand_as(wanted) for tap, wanted in zip(objective.perceptual_features(image), features, strict=True)
        )
        l2 = (image - objective.comparable(target)).square().mean((1, 2, 3)) / 4
        loss = objective.perceptual_weight * objective.perceptual.compare(seen, features) + objective.l2_weight * l2
        better = loss < lowest
        best[better] = row
        lowest = torch.where(better, loss, lowest)
    return best[:, None].expand(-1, objective.sampler.rows, -1)
