"""What came of inverting an image, in numbers that can be judged."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any

from torch import Tensor

from core.generators.interface import Codes
from core.inversion.config import InversionConfig, Norm


@dataclass(frozen=True)
class InversionReport:
    """One image. Distances are between the image and its reconstruction as it would be stored: clamped to [-1, 1]."""

    perceptual_name: str
    """Which perceptual distance was used; values of different ones cannot be compared."""
    start: str
    """Where the code began: ``encoder``, ``mean`` (no encoder), or ``best_of_K`` random codes (no encoder)."""
    start_perceptual: float
    start_psnr: float
    """dB."""
    perceptual: float
    l2: float
    """Mean squared error of images in [0, 1]."""
    psnr: float
    """dB; 10 log10(1 / l2)."""
    fitted_noise_psnr: float | None
    """dB with the noise maps that were fitted beside the code and thrown away; None where none were."""
    norm_name: Norm
    norm: float
    """Distance of the code from its start, in units of the code."""
    radius: float | None
    """Limit of ``norm``; None where there was no ball."""
    layer_spread: float
    """Root mean square deviation of the layers' codes from their mean: distance from drawn codes."""
    steps: int
    """Updates made before the image stopped improving or the steps ran out."""
    flags: tuple[str, ...]
    """Why the reconstruction counts as poor by the settings, in words; empty for a good one."""

    @property
    def flagged(self) -> bool:
        """The reconstruction is poor."""
        return bool(self.flags)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` can write."""
        return {**asdict(self), "flags": list(self.flags), "flagged": self.flagged}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "InversionReport":
        """What :meth:`to_json` wrote; keys that are not its own are left aside."""
        known = {f.name: values[f.name] for f in fields(cls)}
        return cls(**{**known, "flags": tuple(known["flags"])})


def flags(perceptual: float, psnr: float, config: InversionConfig) -> tuple[str, ...]:
    """Why a reconstruction counts as poor: by ``max_perceptual`` where it is given, else by ``poor_psnr``."""
    if config.max_perceptual is not None:
        above = perceptual > config.max_perceptual
        return (f"perceptual distance {perceptual:.4g} above {config.max_perceptual:g}",) if above else ()
    return (f"PSNR {psnr:.1f} dB below {config.poor_psnr:g} dB",) if psnr < config.poor_psnr else ()


@dataclass(frozen=True)
class InvertedImage:
    """codes: of this one image, on the CPU. reconstruction: uint8 [C, H, W]."""

    codes: Codes
    reconstruction: Tensor
    report: InversionReport


def summarize(reports: Sequence[InversionReport]) -> dict[str, Any]:
    """Medians over images, and how many were flagged: what a job says of its inversion. At least one report."""
    return {
        "images": len(reports),
        "flagged": sum(report.flagged for report in reports),
        "perceptual_name": reports[0].perceptual_name,
        "start": reports[0].start,
        "median_start_psnr": median(report.start_psnr for report in reports),
        "median_psnr": median(report.psnr for report in reports),
        "median_perceptual": median(report.perceptual for report in reports),
        "median_norm": median(report.norm for report in reports),
        "median_steps": median(report.steps for report in reports),
    }
