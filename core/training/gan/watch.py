"""Signs that an adversarial training collapses: lost variety, a discriminator that has won, broken numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.evaluation.metrics.distribution import manifold_scores
from core.evaluation.metrics.memorization import picture_features
from core.generators.stylegan2.network import Network
from core.training.gan.players import one_hot

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
    """Beyond which values training counts as collapsing."""

    lowest_fake_logit: float = -20.0
    most_real_sign: float = 0.9
    """Mean sign of the logits of reals; where p of adaptive augmentation still rises it is expected for a while."""
    most_p: float = 0.8
    """Strength of adaptive augmentation beyond which it cannot help any more."""
    recall_share: float = 0.4
    """Share of the best recall so far that is lost recall."""
    least_best_recall: float = 0.1
    """Best recall from which on a loss is one."""
    least_spread: float = 0.05
    patience: int = 3
    """Points in a row beyond a limit, but for numbers that are not finite."""


@dataclass
class CollapseWatch:
    """Judges a training point by point. All that it keeps is in its fields, as JSON values."""

    limits: WatchLimits = field(default_factory=WatchLimits)
    best_recall: float = 0.0
    beyond: dict[str, int] = field(default_factory=dict)
    """Sign → points in a row beyond its limit."""

    def check(
        self, figures: Mapping[str, float], recall: float | None = None, spread: Sequence[float] = ()
    ) -> tuple[Alarm, ...]:
        """Return the alarms of a point of the curves. figures: those of a training event. recall: see :func:`recall_of`.
        spread: see :func:`class_spread`, one value a class.
        """
        limits, broken = self.limits, [name for name, value in figures.items() if not isfinite(value)]
        broken += ["broken_gradients"] if figures.get("broken_gradients") else []
        if broken:
            detail = "not finite: " + ", ".join(sorted(set(broken)))
            return (Alarm("not_finite", detail, ADVICE["not_finite"]),)
        found: dict[Sign, str] = {}
        fake, real_sign = figures.get("fake_logit", 0.0), figures.get("overfitting", figures.get("real_sign", 0.0))
        if fake < limits.lowest_fake_logit:
            found["saturated"] = f"mean logit of generated images {fake:.1f}, lowest {limits.lowest_fake_logit}"
        if real_sign > limits.most_real_sign and figures.get("p", 1.0) > limits.most_p:
            found["overfitted"] = f"mean sign of the logits of reals {real_sign:.2f}, most {limits.most_real_sign}"
        if recall is not None:
            self.best_recall = max(self.best_recall, recall)
            least = limits.recall_share * self.best_recall
            if self.best_recall >= limits.least_best_recall and recall < least:
                found["recall"] = f"recall {recall:.3f}, best {self.best_recall:.3f}"
        narrow = [number for number, value in enumerate(spread) if value < limits.least_spread]
        if narrow:
            found["spread"] = f"spread of w below {limits.least_spread} in classes {', '.join(map(str, narrow[:20]))}"
        self.beyond = {sign: self.beyond.get(sign, 0) + 1 for sign in found}
        lasting = [sign for sign in found if self.beyond[sign] >= limits.patience]
        return tuple(Alarm(sign, found[sign], ADVICE[sign]) for sign in lasting)


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


def recall_of(reals: Tensor, fakes: Tensor, neighbours: int = 5) -> float:
    """Return the recall (Kynkäänniemi et al. 2019) of fakes, both uint8 [N, C, H, W], in pixels averaged to 16x16.

    A measure for following one training: its values are not those of published networks' features.
    """
    first, second = (_features(images) for images in (reals, fakes))
    return manifold_scores(first, second, neighbours).recall


def _features(images: Tensor) -> NDArray[np.float64]:
    colour = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return picture_features(colour.cpu().numpy(), min(16, *colour.shape[1:3]))
