"""How far the ensemble's probabilities can be believed, and one temperature that mends them (Guo et al. 2017)."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

TEMPERATURES = tuple(2 ** (step / 8) for step in range(-24, 25))
PIXELS = 8192
"""A temperature is one number: so many pixels are plenty."""


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram of the mean probability of the predicted class, in equal bins of it.

    ``confidence``, ``accuracy``: mean of each bin, None where it is empty. ``share``: of the pixels. ``error``: the
    expected calibration error, 0..1.
    """

    confidence: list[float | None]
    accuracy: list[float | None]
    share: list[float]
    error: float

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def fit_temperature(logits: Tensor, truth: Tensor) -> tuple[float, float, float]:
    """The temperature at which the members' mean probability has the smallest negative log-likelihood.

    logits: float [M, P, K] of held-out pixels. truth: int64 [P]. Returns (temperature, nats before, nats after);
    dividing every member's logits by it changes no vote.
    """
    chosen = torch.linspace(0, len(truth) - 1, min(PIXELS, len(truth))).long()
    logits, truth = logits[:, chosen], truth[chosen].to(logits.device)
    nats = {t: nll(logits / t, truth) for t in TEMPERATURES}
    best = min(nats, key=lambda t: nats[t])
    return best, nll(logits, truth), nats[best]


def nll(logits: Tensor, truth: Tensor) -> float:
    """Mean negative log-likelihood, nats, of ``truth`` [P] under the mean probability from ``logits`` [M, P, K]."""
    mean = logits.softmax(-1).mean(0)
    return float(-mean.gather(1, truth[:, None]).clamp_min(1e-12).log().mean())


def reliability(confidence: Tensor, correct: Tensor, bins: int = 10) -> Reliability:
    """confidence: float [P], 0..1. correct: bool [P]."""
    which = (confidence * bins).long().clamp(0, bins - 1)
    counts = torch.bincount(which, minlength=bins).double()
    sums = torch.bincount(which, confidence.double(), minlength=bins)
    hits = torch.bincount(which, correct.double(), minlength=bins)
    total = counts.sum().clamp_min(1)
    means = [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]
    rates = [float(h / n) if n else None for h, n in zip(hits, counts, strict=True)]
    return Reliability(means, rates, (counts / total).tolist(), float(((sums - hits).abs() / total).sum()))
