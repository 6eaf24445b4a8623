"""What came of inverting an image, in numbers that can be judged."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from torch import Tensor

from core.inversion.config import Norm


@dataclass(frozen=True)
class InversionReport:
    """One image. Distances are between the image and its reconstruction as it would be stored: clamped to [-1, 1]."""

    perceptual_name: str
    """Which perceptual distance was used; values of different ones cannot be compared."""
    start: str
    """Where the code began: ``encoder``, ``w_avg`` (no encoder), or ``best_of_K`` random codes (no encoder)."""
    start_perceptual: float
    start_psnr: float
    """dB."""
    perceptual: float
    l2: float
    """Mean squared error of images in [0, 1]."""
    psnr: float
    """dB; 10 log10(1 / l2)."""
    norm_name: Norm
    norm: float
    """Distance of the code from its start, in units of w."""
    radius: float | None
    """Limit of ``norm``; None where there was no ball."""
    layer_spread: float
    """Root mean square deviation of the layers' codes from their mean: distance from W."""
    steps: int
    """Updates made before the image stopped improving or the steps ran out."""
    flagged: bool
    """The reconstruction is poor: PSNR below the threshold of the settings."""

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` can write."""
        return asdict(self)


@dataclass(frozen=True)
class InvertedImage:
    """w_plus: float32 [num_ws, w_dim] on the CPU. reconstruction: uint8 [3, H, W]."""

    w_plus: Tensor
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
