"""Settings of the inversion. Torch-free, so that they can be read and checked anywhere."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, Literal, get_args

from core.errors import InversionError, Problem

Constraint = Literal["ball", "penalty", "none"]
"""What keeps a code near the encoder's answer: projection into a ball (HandsOff, equation 2), a soft mean squared
penalty (its released code), or nothing."""

Norm = Literal["layer_rms", "flat"]
"""How far two codes are apart: the largest root mean square of a row's difference (independent of the number of
rows and of the width), or the Euclidean norm of the whole flattened difference."""

Coordinates = Literal["principal", "code"]
"""Directions of Adam's steps: the principal axes of the generator's codes, each in units of the spread along it, or the
coordinates of the code, as in the papers."""

Precision = Literal["auto", "float32", "bfloat16"]
"""Numbers that the networks compute with while codes are refined; codes, losses and reports are float32 always."""

_POSITIVE = ("learning_rate", "radius_without_encoder", "loss_size", "patience")
_NOT_NEGATIVE = (
    "steps",
    "penalty_weight",
    "row_deviation_weight",
    "encoder_iterations",
    "start_candidates",
    "tolerance",
    "poor_psnr",
    "noise_weight",
)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "constraint": get_args(Constraint),
    "norm": get_args(Norm),
    "coordinates": get_args(Coordinates),
    "precision": get_args(Precision),
}
_NOT_OF_THE_CODES = ("batch", "memory_budget", "poor_psnr", "max_perceptual")


@dataclass(frozen=True)
class InversionConfig:
    """How images are inverted: minimise perceptual distance + λ · squared error inside a ball around the encoder's
    code.

    Every problem is found at construction and told in one :class:`InversionError`.
    """

    steps: int = 300
    """Updates at most; images that stop improving take fewer. 0 keeps the start."""
    learning_rate: float = 0.1
    """Peak rate of Adam, in units of its coordinates."""
    coordinates: Coordinates = "principal"
    ramp_up: float = 0.05
    """Share of the steps with a linearly rising rate."""
    ramp_down: float = 0.25
    """Share of the steps, at the end, with a rate that falls by a cosine."""
    perceptual_weight: float | None = None
    """Weight of the perceptual distance; None for what the backbone in use asks for."""
    l2_weight: float | None = None
    """Weight of the mean squared error of images in [0, 1] (λ_l2 = 0.1 for LPIPS); None for what the backbone asks
    for.
    """
    one_row: bool = False
    """Fit one row for all rows of a code: it stays among the codes that the generator draws itself."""
    constraint: Constraint = "ball"
    norm: Norm = "layer_rms"
    radius: float | None = None
    """c_reg: radius of the ball around the encoder's code, in units of the code and of ``norm``; None for HandsOff's
    0.5, or where that is more, the spread of the generator's codes: the length of codes differs between generators.
    """
    radius_without_encoder: float = 1.5
    """Radius of the ball around the mean code where there is no encoder, in spreads: the same norm of a
    typical drawn code minus the mean code.
    """
    penalty_weight: float = 0.1
    """Weight of the mean squared distance from the start, for ``constraint="penalty"``."""
    row_deviation_weight: float = 0.0
    """Weight of the mean squared deviation of the rows from their mean."""
    encoder_iterations: int = 5
    start_candidates: int = 0
    """Without an encoder: how many random codes compete as the start of each image; 0 starts from the mean code."""
    patience: int = 40
    """Steps without a gain of ``tolerance`` after which an image's rate ramps down early; twice in a row ends it."""
    tolerance: float = 0.01
    """Relative gain of the loss that counts as one."""
    batch: int | None = None
    """Images at once; None to fit ``memory_budget``."""
    memory_budget: int | None = None
    """Bytes that one batch may take; None for most of what is free (see :mod:`core.inversion.batching`)."""
    precision: Precision = "auto"
    """``auto``: bfloat16 on a GPU or a processor that has instructions for it, float32 elsewhere."""
    loss_size: int = 512
    """Larger images are compared at this size of the longer side, as the papers do."""
    poor_psnr: float = 20.0
    """Images whose reconstruction has a lower PSNR, in dB, are flagged; unused where ``max_perceptual`` is given."""
    max_perceptual: float | None = None
    """Images that are perceptually further from their reconstruction are flagged; the scale is that of the distance in
    use, which the report names.
    """
    fit_noise: bool = False
    """Fit noise maps beside the codes (see :mod:`core.inversion.noise`); only codes are kept."""
    noise_weight: float = 1e5
    """Weight of the maps' autocorrelation, for ``fit_noise`` (Karras et al. 2020, appendix D)."""

    def __post_init__(self) -> None:
        problems = [
            Problem(f"not one of {', '.join(choices)}", name)
            for name, choices in _CHOICES.items()
            if getattr(self, name) not in choices
        ]
        problems += [Problem("not a positive number", name) for name in _POSITIVE if not _number(self, name) > 0]
        problems += [Problem("not a number ≥ 0", name) for name in _NOT_NEGATIVE if not _number(self, name) >= 0]
        problems += [
            Problem("not between 0 and 1", name)
            for name in ("ramp_up", "ramp_down")
            if not 0 <= _number(self, name) <= 1
        ]
        problems += [
            Problem("not a number ≥ 0", name)
            for name in ("perceptual_weight", "l2_weight", "max_perceptual")
            if getattr(self, name) is not None and not _number(self, name) >= 0
        ]
        if self.radius is not None and not _number(self, "radius") > 0:
            problems.append(Problem("not a positive number", "radius"))
        problems += [
            Problem("not a whole number", name)
            for name, wanted in self.__annotations__.items()
            if wanted is int and type(getattr(self, name)) is not int
        ]
        problems += [
            Problem("not a positive whole number", name)
            for name, value in (("batch", self.batch), ("memory_budget", self.memory_budget))
            if value is not None and not (type(value) is int and value > 0)
        ]
        problems += [
            Problem("not true or false", name)
            for name in ("one_row", "fit_noise")
            if not isinstance(getattr(self, name), bool)
        ]
        if problems:
            raise InversionError("these inversion settings cannot be used", problems)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` can write and :meth:`from_json` reads back."""
        return asdict(self)

    def of_codes(self) -> dict[str, Any]:
        """The settings that decide which code an image gets, without those of batches, memory and flags."""
        return {name: value for name, value in self.to_json().items() if name not in _NOT_OF_THE_CODES}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "InversionConfig":
        """Settings from a JSON object; fields that are absent keep their default. Raises :class:`InversionError`."""
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise InversionError("unknown inversion settings", [Problem("unknown field", name) for name in unknown])
        return cls(**values)


def _number(config: InversionConfig, name: str) -> float:
    """The field as a number, NaN where it is none (and so fails every comparison)."""
    value = getattr(config, name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if usable else float("nan")
