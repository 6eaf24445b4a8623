"""What a caller states about a checkpoint where the file itself does not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answers:
    """Answers to the questions that an import asks. Whatever the file itself states must agree."""

    network: str | None = None
    """Which of several generators in the file: ``G_ema``, ``G``, ``Gs``, ``g_ema``, ``g``. Default: the average."""
    mapping_lr_multiplier: float | None = None
    conv_clamp: float | None = None
    """0: nothing is clamped."""
