"""How much the members disagree: per pixel, per image, per class (HandsOff section 3.3, DatasetGAN section 3.3)."""

import torch
from torch import Tensor

from core.labeling.config import Score


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy in nats over the last axis. [..., K] → [...]."""
    terms: Tensor = torch.special.entr(probabilities)
    return terms.sum(-1)


def js_divergence(probabilities: Tensor) -> Tensor:
    """Jensen-Shannon divergence of the members: H(mean p) - mean H(p), in nats, 0 ≤ JS ≤ ln(members).

    probabilities: float [M, P, K], each member's distribution at each pixel. Returns float [P].
    """
    return (entropy(probabilities.mean(0)) - entropy(probabilities).mean(0)).clamp_min(0)


def image_scores(maps: Tensor, score: Score, mask: Tensor | None = None, class_count: int = 0) -> Tensor:
    """Uncertainty maps, float [N, H, W] → one number an image, float64 [N]; higher is less certain.

    "sum": over all pixels (the paper). "top10_mean": mean of the tenth of pixels that is highest (the released code).
    "class_mean": mean over the classes that ``mask`` (uint8 [N, H, W]) shows of their mean; of all pixels without one.
    """
    pixels = maps.flatten(1).double()
    if score == "sum":
        return pixels.sum(1)
    if score == "class_mean":
        return pixels.mean(1) if mask is None else class_scores(maps, mask, class_count).nanmean(1)
    return pixels.topk(max(1, pixels.shape[1] // 10), dim=1).values.mean(1)


def variance(values: Tensor) -> Tensor:
    """Of continuous labels: the members' variance, mean over the outputs. float [M, P, K] → [P], in squared units."""
    return values.var(0, correction=0).mean(-1)


def class_scores(divergence: Tensor, mask: Tensor, class_count: int) -> Tensor:
    """Mean divergence over the pixels labelled with each class, float64 [N, class_count]; NaN where a class is absent.

    divergence: float [N, H, W] nats. mask: uint8 [N, H, W], class ids.
    """
    labels = mask.flatten(1).long()
    zeros = torch.zeros(len(labels), class_count, dtype=torch.float64, device=mask.device)
    pixels = divergence.flatten(1).double()
    return zeros.scatter_add(1, labels, pixels) / zeros.scatter_add(1, labels, torch.ones_like(pixels))
