"""Settings of StyleGAN2 training and their presets, which requests are checked with and trainings are run with."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from contracts.generator_training.fields import choice, field_violations, number, setting, share, whole
from contracts.generator_training.images import ImageFacts
from contracts.sampling_settings import Violation

LEAST_SIDE, MOST_SIDE = 4, 16
"""Sides of the learned constant in pixels. Larger ones would leave coarse structure to one block."""
LEAST_TRAINING, LEAST_HELD_OUT, LEAST_OF_CLASS = 16, 8, 2
"""Images without which no training begins."""
ADA_PIPELINES = ("blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")
DIFFAUGMENT_PARTS = ("color", "translation", "cutout")


def block_sizes(height: int, width: int) -> tuple[tuple[int, int], int] | None:
    """Return the size of the learned constant and the number of blocks for images of this size; None where the size is
    no small constant times a power of two.
    """
    blocks = 1
    while height % 2 == 0 and width % 2 == 0 and min(height, width) // 2 >= LEAST_SIDE:
        height, width, blocks = height // 2, width // 2, blocks + 1
    if min(height, width) < LEAST_SIDE or max(height, width) > MOST_SIDE:
        return None
    return (height, width), blocks


SIZES = f"sides of {LEAST_SIDE} to {MOST_SIDE} pixels times one power of two, such as 64x64 or 64x96"
"""Sizes of images that :func:`block_sizes` has a network for."""


@dataclass(frozen=True)
class StepSettings:
    """Settings of each step of a training: networks, losses, optimisation, augmentation, classes."""

    kimg: float = number(1000.0, "Thousands of real images shown to the discriminator.", exclusiveMinimum=0)
    batch: int = whole(16, "Images of a step.", 2)
    flip: bool = setting(
        False, "Mirror real images left to right at random; wrong where left and right differ.", type="boolean"
    )

    # Networks that are built from random weights; a generator to begin with brings its own.
    widths: tuple[int, ...] = setting(
        (),
        "Channels of the blocks, coarse ones first; empty for min(channel_base / height, channel_max).",
        type="array",
        items={"type": "integer", "minimum": 1},
    )
    channel_base: int = whole(16384, "Channels of a block times its height, where `widths` is empty.", 1)
    channel_max: int = whole(512, "Most channels of a block, where `widths` is empty.", 1)
    latent_width: int = whole(512, "Width of z and w.", 1)
    mapping_layers: int = whole(8, "Layers of the generator's mapping network.", 1)
    discriminator: Literal["resnet", "orig"] = choice(
        "resnet", "Whether a block of the discriminator adds a shortcut.", ("resnet", "orig")
    )
    discriminator_mapping_layers: int = whole(8, "Layers of the discriminator's mapping network of classes.", 1)
    stddev_group: int = whole(4, "Images that the minibatch statistic compares.", 1)
    conv_clamp: float | None = number(
        None, "Limit of every convolution's output; null: none, or the start's own.", nullable=True, exclusiveMinimum=0
    )

    # Optimisation.
    generator_rate: float = number(2.5e-3, "Learning rate of the generator.", exclusiveMinimum=0)
    discriminator_rate: float = number(2.5e-3, "Learning rate of the discriminator.", exclusiveMinimum=0)
    adam_beta2: float = number(0.99, "Adam's beta 2; beta 1 is 0.", minimum=0, exclusiveMaximum=1)
    r1_gamma: float | None = number(
        None,
        "Weight of R1; null: 0.3 at 64x64, in proportion to the number of pixels, and at least 0.1.",
        nullable=True,
        minimum=0,
    )
    r1_interval: int = whole(16, "Steps from one R1 penalty to the next.", 1)
    r1_of_augmented: bool = setting(False, "Take R1 with respect to the augmented images (NoisyTwins).", type="boolean")
    path_length_weight: float = number(0.0, "Weight of the path length penalty.", minimum=0)
    path_length_interval: int = whole(4, "Steps from one path length penalty to the next.", 1)
    path_length_start: int = whole(0, "First step with the path length penalty.", 0)
    path_length_decay: float = share(0.01, "How fast the mean path length moves.")
    path_length_shrink: int = whole(2, "The penalty is taken on the batch divided by it.", 1)
    style_mixing: float = share(0.0, "Probability that a batch's finer layers follow a second latent.")
    ema_kimg: float = number(
        10.0, "Half-life of the running mean of the weights, in thousands of images.", exclusiveMinimum=0
    )
    ema_rampup: float | None = number(
        0.05, "The half-life is at most this share of the images seen; null for no ramp.", nullable=True, minimum=0
    )
    mean_code_rule: Literal["every", "discriminator"] = choice(
        "every",
        "Steps that move the mean code: of both players (stylegan2-ada), or of the discriminator (stylegan3).",
        ("every", "discriminator"),
    )
    mean_code_decay: float = share(0.995, "Decay of the mean code at each of these steps.")
    freeze_discriminator: int = whole(
        0, "Layers of the discriminator, counted from the image, that are not trained (Mo et al. 2020).", 0
    )
    precision: Literal["auto", "float32", "bfloat16"] = choice(
        "auto",
        "auto: bfloat16 in the convolutions where the device has instructions for it. Penalties, mapping networks "
        "and logits are always float32.",
        ("auto", "float32", "bfloat16"),
    )

    # Augmentation and regularisation for few images.
    augmentation: Literal["none", "ada", "diffaugment"] = choice(
        "ada", "Augmentation of what the discriminator sees.", ("none", "ada", "diffaugment")
    )
    ada_pipeline: str = choice("bgc", "Transforms of ADA.", ADA_PIPELINES)
    ada_target: float = share(0.6, "Mean sign of the logits of reals that ADA keeps.")
    ada_kimg: float = number(500.0, "Thousands of images in which ADA's probability moves by 1.", exclusiveMinimum=0)
    ada_interval: int = whole(4, "Steps from one move of ADA's probability to the next.", 1)
    ada_p: float = number(0.0, "ADA's probability to begin with.", minimum=0)
    diffaugment: tuple[str, ...] = setting(
        DIFFAUGMENT_PARTS,
        "Parts of DiffAugment.",
        type="array",
        minItems=1,
        items={"enum": list(DIFFAUGMENT_PARTS)},
    )
    lecam_weight: float = number(0.0, "Weight of LeCam regularisation.", minimum=0)
    lecam_decay: float = share(0.99, "Decay of LeCam's means of logits.")
    lecam_start: int = whole(0, "First step with LeCam regularisation.", 0)

    # Classes, NoisyTwins.
    class_sampling: Literal["data", "uniform"] = choice(
        "data", "Classes of fakes: as frequent as among the images, or all alike.", ("data", "uniform")
    )
    noise_std: float = number(0.0, "Standard deviation of the noise on class embeddings; 0 for none.", minimum=0)
    noise_beta: float = number(
        0.0,
        "Beta of the effective number of images; 0 for the same noise on all classes.",
        minimum=0,
        exclusiveMaximum=1,
    )
    noise_normalisation: Literal["released", "paper"] = choice(
        "released", "Normalisation of the noise: of the released code, or of the paper.", ("released", "paper")
    )
    twins_weight: float = number(0.0, "Weight of the twins loss; 0 for none.", minimum=0)
    twins_gamma: float = number(0.05, "Weight of the twins loss's other than diagonal terms.", minimum=0)
    twins_start: int = whole(0, "First step with the twins loss.", 0)

    def r1_weight(self, resolution: tuple[int, int]) -> float:
        """Return gamma for images of (height, width)."""
        if self.r1_gamma is not None:
            return self.r1_gamma
        return max(0.1, 0.3 * resolution[0] * resolution[1] / 64**2)

    def violations(self) -> list[Violation]:
        """Return every setting that cannot be used, alone or beside others."""
        return [*field_violations(self), *self._joint_violations()]

    def _joint_violations(self) -> list[Violation]:
        numbers: tuple[Any, ...] = self.batch, self.stddev_group
        if not all(isinstance(one, int) for one in numbers):
            return []
        found = []
        if min(self.batch, self.stddev_group) >= 1 and self.batch % min(self.batch, self.stddev_group):
            detail = f"expected a divisor of the batch {self.batch}, found {self.stddev_group}"
            found.append(Violation("stddev_group", detail))
        if self.twins_weight and (self.batch < 4 or self.batch % 2):
            detail = f"expected an even number ≥ 4 with the twins loss, found {self.batch}"
            found.append(Violation("batch", detail))
        if self.twins_weight and not self.noise_std:
            detail = "expected noise on the class embeddings with the twins loss, found none"
            found.append(Violation("noise_std", detail))
        return found


@dataclass(frozen=True)
class ScheduleSettings:
    """Settings of a training as a whole: its sizes, and when it returns to an earlier state or ends."""

    progressive: bool = setting(
        True,
        "Begin at a quarter and a half of the size (5 and 20 % of the budget), down to 16 pixels.",
        type="boolean",
    )
    start_discriminator: bool = setting(
        True, "Train on from the discriminator of the generator to begin with, where it was stored.", type="boolean"
    )
    points: int = whole(60, "Points of the curves over the whole budget, at each of which quality is measured.", 4)
    early_stop: float = share(
        0.35,
        "Share of the budget without a better distance to held-out images after which the training ends; 0 for never.",
    )
    most_returns: int = whole(
        3, "Returns to an earlier state after a collapse; at the next one the training ends with the best state.", 0
    )
    probe_seconds: float = number(
        60.0, "Time in which the pace at each size is measured at first, for the estimate.", minimum=0, maximum=600
    )

    def violations(self) -> list[Violation]:
        """Return every setting that cannot be used."""
        return field_violations(self)


@dataclass(frozen=True)
class TrainingSettings(ScheduleSettings, StepSettings):
    """All settings of a training, as a request gives them."""

    def violations(self) -> list[Violation]:
        """Return every setting that cannot be used, alone or beside others."""
        return StepSettings.violations(self)

    def part(self, which: type[Any]) -> dict[str, Any]:
        """Return the settings of one of the two base classes, by name."""
        return {one.name: getattr(self, one.name) for one in fields(which)}


def image_violations(facts: ImageFacts, settings: TrainingSettings) -> list[Violation]:
    """Return why images cannot be trained on with these settings, by the field of the request (``images``, or the name
    of a setting).
    """
    found = []
    if block_sizes(facts.height, facts.width) is None:
        size = f"{facts.height}x{facts.width} (height x width)"
        found.append(Violation("images", f"expected {SIZES}; found {size}"))
    for name, count, least in (
        ("images for training", facts.training, LEAST_TRAINING),
        ("held-out images", facts.held_out, LEAST_HELD_OUT),
    ):
        if count < least:
            found.append(Violation("images", f"expected at least {least} {name}, found {count}; add images"))
    single = [name for name, count in facts.classes.items() if count < LEAST_OF_CLASS]
    if single:
        names = ", ".join(single[:20])
        detail = f"expected at least {LEAST_OF_CLASS} images a class; fewer in {len(single)} classes: {names}"
        found.append(Violation("images", f"{detail}; add images, or pack them without classes"))
    if settings.noise_std and not facts.classes:
        found.append(Violation("noise_std", "expected images with classes: the noise is added to class embeddings"))
    if settings.flip and not facts.flips:
        found.append(Violation("flip", "expected false: this image set is not to be mirrored"))
    return found


_NOISY_TWINS: dict[str, Any] = {
    "kimg": 120_000 * 128 / 1000,
    "batch": 128,
    "flip": True,
    "r1_of_augmented": True,
    "class_sampling": "uniform",
    "mean_code_rule": "discriminator",
    "mean_code_decay": 0.998,
    "path_length_weight": 4.0,  # the released code multiplies by its weight of 2 twice
    "progressive": False,
}
_FEW_SHOT: dict[str, Any] = _NOISY_TWINS | {
    "kimg": 100_000 * 128 / 1000, "mapping_layers": 2, "r1_gamma": 0.01, "ema_kimg": 500.0, "stddev_group": 32,
    "noise_std": 0.5, "twins_weight": 0.001, "twins_gamma": 0.05,
}  # fmt: skip

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "small": {
        "channel_base": 2048, "channel_max": 192, "latent_width": 256, "mapping_layers": 4,
        "discriminator_mapping_layers": 1,
    },
    "default": {},
    "cifar10-lt": _NOISY_TWINS | {
        "r1_gamma": 0.01, "path_length_weight": 0.0, "augmentation": "diffaugment", "ema_kimg": 500.0,
        "discriminator": "orig", "stddev_group": 32, "noise_std": 0.75, "noise_beta": 0.99, "twins_weight": 0.01,
        "twins_gamma": 0.05,
    },
    "inaturalist-lt": _NOISY_TWINS | {
        "kimg": 180_000 * 128 / 1000, "mapping_layers": 2, "r1_gamma": 0.2048, "lecam_weight": 0.01,
        "style_mixing": 0.9, "ema_kimg": 20.0, "ema_rampup": None, "stddev_group": 8, "noise_std": 0.1,
        "twins_weight": 0.001, "twins_gamma": 0.005, "twins_start": 25_000,
    },
    "imagenet-lt": _NOISY_TWINS | {
        "kimg": 250_000 * 128 / 1000, "r1_gamma": 0.2048, "path_length_start": 60_000, "style_mixing": 0.9,
        "ema_kimg": 20.0, "ema_rampup": None, "stddev_group": 8, "noise_std": 0.25, "twins_weight": 0.001,
        "twins_gamma": 0.005, "twins_start": 60_000,
    },
    "animal-faces": _FEW_SHOT,
    "carnivores": _FEW_SHOT | {"kimg": 70_000 * 128 / 1000},
}  # fmt: skip
"""Settings by name, as far as they differ from the defaults. small: narrow networks, for a few thousand images and some
hours on a processor without an accelerator. default: networks of the papers' width. The others are the four experiments
of NoisyTwins (Rangwani et al. 2023) as its released configurations state them.
"""
