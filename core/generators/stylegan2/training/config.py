"""Settings of generator training, and presets. Torch-free, so that they can be read and checked anywhere."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import Any, Literal, get_args

from core.errors import GeneratorError, Problem
from core.inversion.config import Precision

Augmentation = Literal["none", "ada", "diffaugment"]
ClassSampling = Literal["data", "uniform"]
"""Classes of fakes: as frequent as among the images, or all alike."""
MeanCodeRule = Literal["every", "discriminator"]
"""Steps that move the mean code: those of both players (stylegan2-ada), or the discriminator's alone (stylegan3)."""
ADA_PIPELINES = ("blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")
DIFFAUGMENT_PARTS = ("color", "translation", "cutout")


@dataclass(frozen=True)
class GanConfig:
    """Settings of a training. All problems are found at construction and raised in one :class:`GeneratorError`."""

    kimg: float = 1000.0
    """Thousands of real images shown to the discriminator."""
    batch: int = 16
    flip: bool = False
    """Mirror real images left to right at random."""

    # Networks that are built from random weights; a generator to begin with brings its own.
    widths: tuple[int, ...] = ()
    """Channels of the blocks, coarse ones first; empty for min(channel_base / height, channel_max)."""
    channel_base: int = 16384
    channel_max: int = 512
    latent_width: int = 512
    """Of z and w."""
    mapping_layers: int = 8
    discriminator: Literal["resnet", "orig"] = "resnet"
    discriminator_mapping_layers: int = 8
    stddev_group: int = 4
    conv_clamp: float | None = None

    # Optimisation.
    generator_rate: float = 2.5e-3
    discriminator_rate: float = 2.5e-3
    adam_beta2: float = 0.99
    """Beta 1 is 0."""
    r1_gamma: float | None = None
    """Weight of R1; None for 0.3 at 64x64, in proportion to the number of pixels, and at least 0.1."""
    r1_interval: int = 16
    r1_of_augmented: bool = False
    """Take the gradient with respect to the augmented images (NoisyTwins) instead of those before augmentation."""
    path_length_weight: float = 0.0
    path_length_interval: int = 4
    path_length_start: int = 0
    """First step with the path length penalty."""
    path_length_decay: float = 0.01
    path_length_shrink: int = 2
    """The penalty is taken on the batch divided by it."""
    style_mixing: float = 0.0
    """Probability that a batch's finer layers follow a second latent."""
    ema_kimg: float = 10.0
    """Half-life of the running mean of the weights, in thousands of images."""
    ema_rampup: float | None = 0.05
    """The half-life is at most this share of the images seen; None for no ramp."""
    mean_code_rule: MeanCodeRule = "every"
    mean_code_decay: float = 0.995
    freeze_discriminator: int = 0
    """Layers of the discriminator, counted from the image, that are not trained (Mo et al. 2020)."""
    precision: Precision = "auto"
    """auto: bfloat16 in the convolutions where the device has instructions for it. Penalties, mapping networks and
    logits are always float32.
    """

    # Augmentation and regularisation for few images.
    augmentation: Augmentation = "ada"
    ada_pipeline: str = "bgc"
    ada_target: float = 0.6
    ada_kimg: float = 500.0
    ada_interval: int = 4
    ada_p: float = 0.0
    """Probability to begin with."""
    diffaugment: tuple[str, ...] = DIFFAUGMENT_PARTS
    lecam_weight: float = 0.0
    lecam_decay: float = 0.99
    lecam_start: int = 0

    # Classes, NoisyTwins.
    class_sampling: ClassSampling = "data"
    noise_std: float = 0.0
    """Standard deviation of the noise on class embeddings; 0 for none."""
    noise_beta: float = 0.0
    """Beta of the effective number of images; 0 for the same noise on all classes."""
    noise_normalisation: Literal["released", "paper"] = "released"
    twins_weight: float = 0.0
    twins_gamma: float = 0.05
    twins_start: int = 0
    """First step with the twins loss."""

    def __post_init__(self) -> None:
        problems = [*_number_problems(self), *_choice_problems(self), *_joint_problems(self)]
        if problems:
            raise GeneratorError("these training settings cannot be used", problems)

    def r1_weight(self, resolution: tuple[int, int]) -> float:
        """Return gamma for images of (height, width)."""
        if self.r1_gamma is not None:
            return self.r1_gamma
        return max(0.1, 0.3 * resolution[0] * resolution[1] / 64**2)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`from_json` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], preset: str = "default") -> "GanConfig":
        """Return ``preset`` with the given fields in place of its own. Raises :class:`GeneratorError`."""
        known = {field.name for field in fields(cls)}
        problems = [Problem("unknown field", name) for name in sorted(values.keys() - known)]
        if preset not in PRESETS:
            problems.append(Problem(f"expected one of {', '.join(PRESETS)}, found {preset!r}", "preset"))
        if problems:
            raise GeneratorError("these training settings cannot be used", problems)
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return replace(PRESETS[preset], **given)


_LEAST: Mapping[str, float] = {
    "batch": 2, "channel_base": 1, "channel_max": 1, "latent_width": 1, "mapping_layers": 1,
    "discriminator_mapping_layers": 1, "stddev_group": 1, "r1_interval": 1, "path_length_interval": 1,
    "path_length_start": 0, "path_length_shrink": 1, "freeze_discriminator": 0, "ada_interval": 1, "lecam_start": 0,
    "twins_start": 0,
}  # fmt: skip
"""Fields that are whole numbers, and their least values."""
_POSITIVE = ("kimg", "generator_rate", "discriminator_rate", "ema_kimg", "ada_kimg")
_NOT_NEGATIVE = ("path_length_weight", "lecam_weight", "noise_std", "twins_weight", "twins_gamma", "ada_p")
_SHARES = (
    "adam_beta2", "path_length_decay", "style_mixing", "mean_code_decay", "ada_target", "lecam_decay", "noise_beta"
)  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _number_problems(config: GanConfig) -> list[Problem]:
    found = []
    for name, least in _LEAST.items():
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            found.append(Problem(f"expected a whole number ≥ {least}, found {value!r}", name))
    optional = [name for name in ("r1_gamma", "ema_rampup", "conv_clamp") if getattr(config, name) is not None]
    for name in (*_POSITIVE, *_NOT_NEGATIVE, *_SHARES, *optional):
        value, positive = getattr(config, name), name in _POSITIVE or name == "conv_clamp"
        if not _is_number(value) or value < 0 or (positive and value == 0) or (name in _SHARES and value > 1):
            bounds = "> 0" if positive else "from 0 to 1" if name in _SHARES else "≥ 0"
            found.append(Problem(f"expected a number {bounds}, found {value!r}", name))
    found += [Problem("expected a number < 1", n) for n in ("adam_beta2", "noise_beta") if getattr(config, n) == 1]
    widths = config.widths
    if not isinstance(widths, tuple) or any(type(width) is not int or width < 1 for width in widths):
        found.append(Problem(f"expected whole numbers ≥ 1, found {config.widths}", "widths"))
    return found


def _choice_problems(config: GanConfig) -> list[Problem]:
    choices: dict[str, tuple[Any, ...]] = {
        "discriminator": ("resnet", "orig"),
        "mean_code_rule": get_args(MeanCodeRule),
        "precision": get_args(Precision),
        "augmentation": get_args(Augmentation),
        "ada_pipeline": ADA_PIPELINES,
        "class_sampling": get_args(ClassSampling),
        "noise_normalisation": ("released", "paper"),
    }
    found = [
        Problem(f"expected one of {', '.join(allowed)}, found {getattr(config, name)!r}", name)
        for name, allowed in choices.items()
        if getattr(config, name) not in allowed
    ]
    parts = config.diffaugment
    if not isinstance(parts, tuple) or not parts or any(part not in DIFFAUGMENT_PARTS for part in parts):
        found.append(Problem(f"expected parts of {', '.join(DIFFAUGMENT_PARTS)}, found {parts!r}", "diffaugment"))
    return found


def _joint_problems(config: GanConfig) -> list[Problem]:
    numbers: tuple[Any, ...] = config.batch, config.stddev_group
    if not all(isinstance(number, int) for number in numbers):
        return []
    found = []
    if min(config.batch, config.stddev_group) >= 1 and config.batch % min(config.batch, config.stddev_group):
        found.append(
            Problem(f"expected a divisor of the batch {config.batch}, found {config.stddev_group}", "stddev_group")
        )
    if config.twins_weight and (config.batch < 4 or config.batch % 2):
        found.append(Problem(f"expected an even number ≥ 4 with the twins loss, found {config.batch}", "batch"))
    if config.twins_weight and not config.noise_std:
        found.append(Problem("expected noise on the class embeddings with the twins loss, found none", "noise_std"))
    return found


_NOISY_TWINS = GanConfig(
    kimg=120_000 * 128 / 1000,
    batch=128,
    flip=True,
    r1_of_augmented=True,
    class_sampling="uniform",
    mean_code_rule="discriminator",
    mean_code_decay=0.998,
    path_length_weight=4.0,  # the released code multiplies by its weight of 2 twice
    ada_pipeline="bgc",
)
_FEW_SHOT = replace(
    _NOISY_TWINS, kimg=100_000 * 128 / 1000, mapping_layers=2, r1_gamma=0.01, ema_kimg=500.0, stddev_group=32,
    noise_std=0.5, twins_weight=0.001, twins_gamma=0.05,
)  # fmt: skip

PRESETS: Mapping[str, GanConfig] = {
    "default": GanConfig(),
    "cifar10-lt": replace(
        _NOISY_TWINS, r1_gamma=0.01, path_length_weight=0.0, augmentation="diffaugment", ema_kimg=500.0,
        discriminator="orig", stddev_group=32, noise_std=0.75, noise_beta=0.99, twins_weight=0.01, twins_gamma=0.05,
    ),
    "inaturalist-lt": replace(
        _NOISY_TWINS, kimg=180_000 * 128 / 1000, mapping_layers=2, r1_gamma=0.2048, lecam_weight=0.01,
        style_mixing=0.9, ema_kimg=20.0, ema_rampup=None, stddev_group=8, noise_std=0.1, twins_weight=0.001,
        twins_gamma=0.005, twins_start=25_000,
    ),
    "imagenet-lt": replace(
        _NOISY_TWINS, kimg=250_000 * 128 / 1000, r1_gamma=0.2048, path_length_start=60_000, style_mixing=0.9,
        ema_kimg=20.0, ema_rampup=None, stddev_group=8, noise_std=0.25, twins_weight=0.001, twins_gamma=0.005,
        twins_start=60_000,
    ),
    "animal-faces": _FEW_SHOT,
    "carnivores": replace(_FEW_SHOT, kimg=70_000 * 128 / 1000),
}  # fmt: skip
"""Settings by name. default: the recipe for a few thousand images on one machine. The others are the four experiments
of NoisyTwins (Rangwani et al. 2023) as its released configurations state them.
"""
