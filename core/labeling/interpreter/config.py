"""Settings of the feature interpreter and of its training. Torch-free."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, Literal, get_args

from core.errors import LabelerError, Problem
from core.labeling.config import Aggregation, Score

METHOD = "interpreter"
"""Name in requests, reports and files."""
HeadKind = Literal["released", "paper"]
"""Last convolution: 3x3 as in the released code of BigDatasetGAN, or 1x1 as its paper describes it."""

_COUNTS: Mapping[str, tuple[int, int]] = {
    "heads": (1, 100),
    "batch": (1, 256),
    "steps": (1, 1 << 30),
    "ignore_index": (0, 255),
    "held_out": (0, 1000),
    "measure_every": (1, 1 << 30),
}
_CHOICES = {"head": get_args(HeadKind), "score": get_args(Score), "aggregation": get_args(Aggregation)}


@dataclass(frozen=True)
class InterpreterConfig:
    """Feature interpreter (BigDatasetGAN section 3.2): a segmentation branch on the generator's feature maps.

    Every problem is found at construction, in one :class:`LabelerError`.
    """

    heads: int = 16
    """Last convolutions on the shared trunk, whose disagreement is the uncertainty."""
    widths: tuple[int, int, int] = (128, 64, 32)
    """Channels of the reduced features: of low, middle and high resolution."""
    head: HeadKind = "released"
    batch: int = 4
    """Images of a training step."""
    steps: int = 5000
    learning_rate: float = 1e-3
    ignore_index: int = 255
    """Mask value of pixels that count for nothing."""
    held_out: int = 0
    """Images kept from training to measure on."""
    train_on_all: bool = True
    """Once they are measured on, train again on all images; False: the labeler that was measured is the result."""
    measure_every: int = 100
    """Steps between two points of the loss curve."""
    score: Score = "class_mean"
    aggregation: Aggregation = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths) if isinstance(self.widths, list) else self.widths)
        problems = [
            Problem(f"not a whole number from {least} to {most}", name)
            for name, (least, most) in _COUNTS.items()
            if not _is_count(getattr(self, name), least, most)
        ]
        problems += [
            Problem(f"not one of {', '.join(choices)}", name)
            for name, choices in _CHOICES.items()
            if getattr(self, name) not in choices
        ]
        if len(self.widths) != 3 or not all(_is_count(width, 1, 4096) for width in self.widths):
            problems.append(Problem("not three widths from 1 to 4096", "widths"))
        if not isinstance(self.learning_rate, float) or not isfinite(self.learning_rate) or self.learning_rate <= 0:
            problems.append(Problem("not a number above 0", "learning_rate"))
        if problems:
            raise LabelerError("invalid interpreter settings", problems)

    @property
    def members(self) -> int:
        """Networks whose disagreement is the uncertainty: the heads."""
        return self.heads

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that :meth:`from_json` reads, with the method."""
        return {"method": METHOD, **asdict(self), "widths": list(self.widths)}

    @classmethod
    def from_json(cls, values: Any) -> "InterpreterConfig":
        """Read what :meth:`to_json` wrote. Raises :class:`LabelerError` that names every wrong field."""
        if not isinstance(values, dict) or values.get("method") != METHOD:
            raise LabelerError("invalid interpreter settings", [Problem(f"not {METHOD}", "method")])
        given = {name: value for name, value in values.items() if name != "method"}
        unknown = sorted(given.keys() - {one.name for one in fields(cls)})
        if unknown:
            raise LabelerError("invalid interpreter settings", [Problem("unknown field", name) for name in unknown])
        return cls(**given)


def _is_count(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
