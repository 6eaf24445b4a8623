"""Settings of trainings. Torch-free, so that they can be read and checked anywhere."""

from dataclasses import dataclass
from typing import get_args

from core.errors import InversionError, Problem
from core.inversion.config import Precision


@dataclass(frozen=True)
class EncoderTrainingConfig:
    """How an encoder is trained. Losses: squared error of the code in units of the generator's spread (samples only),
    perceptual distance and squared error of the image, on request a feature loss, and a penalty on codes whose layers
    differ.
    """

    steps: int = 3000
    samples: int = 32
    """Slots of the batch for the generator's own samples; 0 learns from real images alone."""
    samples_drawn: int = 8
    """How many of these also have image losses: they cost four times the others."""
    images: int = 16
    """Slots for real images; unused when no source is given."""
    mirror: bool = False
    """Real images are mirrored left to right at random; a source of the caller's own mirrors them itself."""
    iterations: int = 5
    """Corrections a target gets before it leaves its slot: as many as at test time."""
    learning_rate: float = 1e-3
    warmup: float = 0.02
    """Share of the steps with a rising rate; it then falls to 0 by a cosine."""
    gradient_limit: float = 1.0
    """Limit of the gradient's norm."""
    ema_decay: float = 0.998
    latent_weight: float = 1.0
    perceptual_weight: float = 1.0
    l2_weight: float = 5.0
    """Of the mean squared error of images in [0, 1]."""
    feature_weight: float = 0.0
    """Of the feature loss: 1 - cosine similarity of what the perceptual network's deepest features are on the mean over
    the image. It says what is shown wherever it is, as the networks for faces (ArcFace) and for everything else (MoCo)
    do in ReStyle, section 4.1.
    """
    deviation_weight: float = 0.05
    """Of the mean squared deviation of the layers from their mean, in units of the spread."""
    unlock_from: float = 0.2
    unlock_until: float = 0.5
    """Between these shares of the steps the layers are unlocked, one after another, coarse ones first."""
    least_truncation: float = 0.5
    """Half of the samples are truncated at random between this and 1, the others not at all."""
    precision: Precision = "auto"
    """``auto``: bfloat16 on a GPU or a processor that has instructions for it, float32 elsewhere."""
    log_every: int = 25
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        whole = ("steps", "iterations", "log_every", "checkpoint_every")
        problems = [Problem("not a whole number ≥ 1", name) for name in whole if getattr(self, name) < 1]
        if self.samples < 0:
            problems.append(Problem("negative", "samples"))
        elif not 0 <= self.samples_drawn <= self.samples:
            problems.append(Problem("not between 0 and samples", "samples_drawn"))
        if self.precision not in get_args(Precision):
            problems.append(Problem(f"not one of {', '.join(get_args(Precision))}", "precision"))
        if self.images < 0:
            problems.append(Problem("negative", "images"))
        if self.samples == 0 and self.images == 0:
            problems.append(Problem("neither samples nor images to learn from", "samples"))
        if not 0 <= self.feature_weight < float("inf"):
            problems.append(Problem("not a number ≥ 0", "feature_weight"))
        if not 0 <= self.unlock_from <= self.unlock_until <= 1:
            problems.append(Problem("not 0 ≤ unlock_from ≤ unlock_until ≤ 1", "unlock_from"))
        if problems:
            raise InversionError("these encoder training settings cannot be used", problems)
