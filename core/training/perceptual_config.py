"""Settings of the training of a perceptual network. Torch-free, so that they can be read and checked anywhere."""

from dataclasses import dataclass
from typing import get_args

from core.errors import InversionError, Problem
from core.inversion.config import Precision

FINEST = (24, 24)
DEEPER = ((48, 48), (80, 80), (112,))
"""Widths of the convolutions of the first stage and of the deepest ones; further stages between them have FURTHER."""
FURTHER = (32, 32)
DEEPEST_PIXELS = 8
"""Pixels of the longer side that the deepest stage is left with, about."""


@dataclass(frozen=True)
class PerceptualTrainingConfig:
    """How the perceptual network of a generator's domain is trained, without labels and without classes.

    Each weight belongs to one objective; 0 leaves it out. See :mod:`core.training.perceptual_objectives`.
    """

    steps: int = 1500
    batch: int = 16
    samples: float = 0.5
    """Share of the batch that are the generator's own samples where real images are given too."""
    repair_weight: float = 1.0
    instance_weight: float = 0.0
    feature_weight: float = 0.0
    """Needs the generator: real images have no features."""
    learning_rate: float = 2e-3
    crop: int = 128
    """Pixels of a crop's longer side at most: larger images are cropped at random."""
    mirror: bool = False
    """Real images are mirrored left to right at random."""
    precision: Precision = "auto"
    log_every: int = 25
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        whole = ("steps", "batch", "crop", "log_every", "checkpoint_every")
        problems = [Problem("expected a whole number ≥ 1", name) for name in whole if getattr(self, name) < 1]
        weights = ("repair_weight", "instance_weight", "feature_weight")
        problems += [
            Problem("expected a finite number ≥ 0", name)
            for name in weights
            if not 0 <= getattr(self, name) < float("inf")
        ]
        if not any(getattr(self, name) > 0 for name in weights):
            problems.append(Problem("expected at least one objective with a weight above 0", "repair_weight"))
        if self.instance_weight > 0 and self.batch < 2:
            problems.append(Problem("instance discrimination needs a batch of 2 or more", "batch"))
        if not 0 <= self.samples <= 1:
            problems.append(Problem("expected a share from 0 to 1", "samples"))
        if self.precision not in get_args(Precision):
            problems.append(Problem(f"expected one of {', '.join(get_args(Precision))}", "precision"))
        if problems:
            raise InversionError("these settings of a perceptual network cannot be used", problems)


def trunk_stages(size: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    """Return the stages of a trunk for images of (height, width): each halves the size, about 8 pixels are left."""
    count, side = 1, max(size)
    while side // 2 >= DEEPEST_PIXELS and min(size) >> count >= 2:
        side, count = side // 2, count + 1
    if count <= len(DEEPER):
        return (FINEST, *DEEPER)[:count]
    return (FINEST, *(FURTHER,) * (count - 1 - len(DEEPER)), *DEEPER)
