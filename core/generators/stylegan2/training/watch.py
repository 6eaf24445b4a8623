"""Signs that an adversarial training collapses: lost variety, a discriminator that has won, broken numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.evaluation.metrics.distribution import Manifold, manifold_scores
from core.evaluation.metrics.memorization import picture_features
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training.players import one_hot

Sign = Literal["not_finite", "saturated", "overfitted", "recall", "spread"]

ADVICE: Mapping[Sign, str] = {
    "not_finite": "halve generator_rate and discriminator_rate, or set precision to float32",
    "saturated": "double r1_gamma, and continue from the last good state",
    "overfitted": "switch on augmentation ada, or begin with a higher ada_p; more images help most",
    "recall": "double r1_gamma, and continue from the last good state",
    "spread": "set noise_std and twins_weight (a preset of NoisyTwins), or join classes of few images",
}


@dataclass(frozen=True)
class Alarm:
    """A sign of collapse, what was measured, and what to change."""

    sign: Sign
    detail: str
    advice: str


@dataclass(frozen=True)
class WatchLimits:
    """Values beyond which a training counts as collapsing."""

    largest_logit: float = 20.0
    """Of the mean logits of reals and fakes, without sign."""
    most_real_sign: float = 0.9
    """Mean sign of the logits of reals, once adaptive augmentation is at ``most_p`` or there is none."""
    most_p: float = 0.8
    least_precision: float = 0.2
    """Recall counts from this precision on: fakes far from all reals are far apart too, which looks like variety."""
    least_recall: float = 0.05
    recall_share: float = 0.3
    """Share of the best recall so far below which recall is lost."""
    least_spread: float = 0.05
    patience: int = 3
    """Points in a row beyond a limit that raise an alarm; one is enough for numbers that are not finite."""


@dataclass
class CollapseWatch:
    """Judges a training point by point. Its fields are JSON values and all that it keeps."""

    limits: WatchLimits = field(default_factory=WatchLimits)
    best_recall: float = 0.0
    beyond: dict[str, int] = field(default_factory=dict)
    """Sign → points in a row beyond its limit."""

    def check(
        self, figures: Mapping[str, float], variety: Manifold | None = None, spread: Sequence[float] = ()
    ) -> tuple[Alarm, ...]:
        """Return the alarms of a point of the curves.

        figures: those of a training event. variety: of held-out reals and fakes, see :func:`variety`; None where it was
        not measured at this point. spread: see :func:`class_spread`, one value a class.
        """
        broken = {name for name, value in figures.items() if not isfinite(value)}
        broken |= {"broken_gradients"} if figures.get("broken_gradients") else set()
        if broken:
            return (_alarm("not_finite", "not finite: " + ", ".join(sorted(broken))),)
        found = self._logit_signs(figures)
        if variety is not None:
            found |= self._recall_sign(variety)
        narrow = [number for number, value in enumerate(spread) if value < self.limits.least_spread]
        if narrow:
            numbers = ", ".join(map(str, narrow[:20]))
            found["spread"] = f"spread of w below {self.limits.least_spread} in {len(narrow)} classes: {numbers}"
        skipped = [] if variety is not None else ["recall"]
        kept = {sign: count for sign, count in self.beyond.items() if sign in skipped}
        self.beyond = kept | {sign: self.beyond.get(sign, 0) + 1 for sign in found}
        return tuple(_alarm(sign, text) for sign, text in found.items() if self.beyond[sign] >= self.limits.patience)

    def _logit_signs(self, figures: Mapping[str, float]) -> dict[Sign, str]:
        limits, found = self.limits, dict[Sign, str]()
        logits = {name: figures.get(name, 0.0) for name in ("real_logit", "fake_logit")}
        large = [f"{name} {value:.3g}" for name, value in logits.items() if abs(value) > limits.largest_logit]
        if large:
            found["saturated"] = f"{', '.join(large)}; expected up to {limits.largest_logit:g}"
        sign = figures.get("overfitting", figures.get("real_sign", 0.0))
        if sign > limits.most_real_sign and figures.get("p", 1.0) > limits.most_p:
            found["overfitted"] = f"mean sign of the logits of reals {sign:.2f}; expected up to {limits.most_real_sign}"
        return found

    def _recall_sign(self, variety: Manifold) -> dict[Sign, str]:
        if variety.precision < self.limits.least_precision:
            return {}
        self.best_recall = max(self.best_recall, variety.recall)
        least = max(self.limits.least_recall, self.limits.recall_share * self.best_recall)
        if variety.recall >= least:
            return {}
        return {"recall": f"recall {variety.recall:.3f}; expected at least {least:.3f}"}


def _alarm(sign: Sign, detail: str) -> Alarm:
    return Alarm(sign, detail, ADVICE[sign])


@torch.no_grad()
def class_spread(network: Network, count: int = 64, seed: int = 0) -> Tensor:
    """Return how far w varies within each class, float [K]; [1] for a generator without classes.

    Root mean square of the deviation from the class's mean, over the root mean square of w: 0 where all latents of a
    class give one image (Rangwani et al. 2023, section 3). ``count`` latents a class, the same for all.
    """
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, network.config.z_dim, generator=random).to(network.w_avg.device)
    found = []
    for number in range(max(1, network.config.c_dim)):
        classes = torch.full((count,), number, device=z.device)
        c = one_hot(classes, network.config.c_dim) if network.config.c_dim else None
        w = network.mapping(z, c)
        found.append((w.var(0, correction=0).mean() / w.square().mean().clamp_min(1e-12)).sqrt())
    return torch.stack(found)


def variety(reals: Tensor, fakes: Tensor, neighbours: int = 5) -> Manifold:
    """Return precision, recall, density and coverage of fakes, both uint8 [N, C, H, W], in pixels averaged to 16x16.

    For following one training: the values are not those of a published network's features.
    """
    return manifold_scores(_features(reals), _features(fakes), neighbours)


def _features(images: Tensor) -> NDArray[np.float64]:
    colour = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return picture_features(colour.cpu().numpy(), min(16, *colour.shape[1:3]))
