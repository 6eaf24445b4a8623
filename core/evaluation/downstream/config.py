"""How a downstream net is trained. Torch-free."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal, get_args

from core.errors import EvaluationError, Problem

NetworkName = Literal["unet_small", "unet_resnet18", "deeplabv3_mobilenet", "deeplabv3_resnet50", "deeplabv3_resnet101"]
Augmentation = Literal["none", "basic", "portraits", "strong"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class DownstreamConfig:
    """One recipe, the same for every arm of a comparison. All problems are found at construction, in one error."""

    network: NetworkName = "unet_small"
    steps: int = 600
    batch: int = 32
    learning_rate: float = 3e-3
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    width: int = 16
    """Channels of the first block of ``unet_small``."""
    augment: Augmentation = "basic"
    """basic: flip, shift, turn, scale, colour. portraits: the list of "Knowing the Distance", appendix A. strong: basic
    with shear, hue, blur, noise and copy-paste.
    """
    augment_strength: float = 1.0
    """Of ``strong``; 1 is the usual one."""
    mirrored: tuple[tuple[int, int], ...] = ()
    """Pairs of ids (left eye, right eye) that change places when an image is flipped; channels for heatmaps."""
    class_weight_power: float = 0.5
    """Classes weigh frequency to minus this; 0 weighs all pixels alike. Heatmaps have two: near a point, and far."""
    validate_every: int = 0
    """Steps between validations, the best of which is kept; 0: the last step is."""
    precision: Precision = "float32"
    """Arithmetic of training's convolutions; bfloat16 is twice as fast where the processor has instructions for it,
    and ``auto`` is bfloat16 there and on a GPU. Weights, losses and predictions are float32 always."""

    def __post_init__(self) -> None:
        problems = []
        choices = {"network": NetworkName, "augment": Augmentation, "precision": Precision}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                problems.append(Problem(f"{getattr(self, name)!r} is none of {', '.join(get_args(allowed))}", name))
        if self.schedule not in ("one_cycle", "constant"):
            problems.append(Problem(f"{self.schedule!r} is neither one_cycle nor constant", "schedule"))
        least = {"steps": 1, "batch": 2, "width": 1, "validate_every": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                problems.append(Problem(f"not a whole number from {low} on", name))
        for name in ("learning_rate", "weight_decay", "class_weight_power", "augment_strength"):
            value = getattr(self, name)
            if not isfinite(value) or value < 0 or (name == "learning_rate" and value == 0):
                problems.append(Problem("not a positive number" if name == "learning_rate" else "negative", name))
        if problems:
            raise EvaluationError("invalid downstream settings", problems)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        pairs = {"betas": list(self.betas), "mirrored": [list(pair) for pair in self.mirrored]}
        return {**asdict(self), **pairs}


LABEL_AUGMENTATIONS: Mapping[str, Mapping[str, Any]] = {
    "as in the recipe": {},
    "strong, by half": {"augment": "strong", "augment_strength": 0.5},
    "strong": {"augment": "strong", "augment_strength": 1.0},
}
"""Augmentations that the labelled images are tried with, as changes of a recipe."""
UNTUNED = "strong, by half"
"""The one that is taken where there is nothing to choose on."""

PRESETS: dict[str, DownstreamConfig] = {
    # For images of about 64 pixels. Chosen on validation heads of the testbed; 500 steps, so that an evaluation of 5
    # repeats takes less than half an hour of two processor cores.
    "small": DownstreamConfig(steps=500, precision="auto"),
    # HandsOff's released code for 9,000 images of 512 pixels: 20 epochs of batches of 8 (its paper says 64).
    "handsoff": DownstreamConfig(
        "deeplabv3_resnet101", steps=22_500, batch=8, learning_rate=1e-3, schedule="constant", weight_decay=0.0,
        augment="none", class_weight_power=0.0, validate_every=1_125,
    ),
    # Knowing the Distance, section 4: until convergence, best validation score.
    "knowing_the_distance": DownstreamConfig(
        "unet_resnet18", steps=50_000, batch=32, learning_rate=1e-4, schedule="constant", betas=(0.9, 0.99),
        weight_decay=0.0, augment="portraits", class_weight_power=0.0, validate_every=1_000,
    ),
}  # fmt: skip
"""The papers' settings, and ours for small images, by name."""
