"""How a labeler is built and trained. Torch-free, so that a request is judged where torch is not installed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import Any, Literal, get_args

from core.errors import LabelerError, Problem

Score = Literal["sum", "top10_mean", "class_mean"]
Schedule = Literal["constant", "cosine"]
Aggregation = Literal["vote", "mean"]
Precision = Literal["float32", "bfloat16"]
Balancing = Literal["loss", "sampling"]
SigmaMeaning = Literal["std", "variance"]

COUNTS = {"members": (1, 100), "pixel_batch": (2, 1 << 20), "ignore_index": (0, 255), "held_out": (0, 1000)}
COUNTS |= {"measure_every": (1, 1 << 30), "keypoint_sigma_at": (1, 1 << 16), "min_class_pixels": (0, 1 << 30)}
OPTIONAL_COUNTS = {"max_channels": (1, 1 << 16), "components": (1, 1 << 16)}
OPTIONAL_COUNTS |= {"max_steps": (1, 1 << 30), "patience": (1, 1 << 30)}
"""Least and most of the fields that are whole numbers; the optional ones may be None."""
CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": get_args(Schedule),
    "balance_by": get_args(Balancing),
    "score": get_args(Score),
    "aggregation": get_args(Aggregation),
    "precision": get_args(Precision),
    "keypoint_sigma_is": get_args(SigmaMeaning),
}


@dataclass(frozen=True)
class LabelerConfig:
    """Settings of the ensemble (HandsOff section 3.3) and of its training. The defaults are the preset "fast".

    Every problem is found at construction and told in one :class:`LabelerError`.
    """

    members: int = 10
    """Networks that vote. They differ in initial weights and in the order in which they see the pixels."""
    hidden: tuple[int, ...] = (256, 32)
    """Widths of the hidden layers, each Linear → ReLU → BatchNorm; empty for linear members, the smallest labeler."""
    layers: tuple[str, ...] | None = None
    """Names of the generator's feature layers to look at; None for all."""
    max_channels: int | None = None
    """Look at no more than the first so many channels of each layer; None for all (256 is the paper's 3520 of 6080)."""
    standardise: bool = True
    """Train on channels of zero mean and unit variance; folded into the first layer afterwards."""
    components: int | None = 256
    """Train the first layer in the leading principal components of the features; folded afterwards. None for all."""
    pixel_batch: int = 512
    """Pixels that each member sees in a step."""
    learning_rate: float = 2e-3
    schedule: Schedule = "cosine"
    """Constant, or falling to zero along half a cosine."""
    epochs: float = 4.0
    """Times that each member sees every labelled pixel, unless ``max_steps`` ends it earlier."""
    max_steps: int | None = 1500
    class_balance: float = 0.25
    """Exponent e of the class weights frequency^-e: 0 weighs pixels alike, 1 weighs classes alike. Keypoints have two
    classes of pixels, near a point and far from any; depth has one."""
    balance_by: Balancing = "loss"
    """Use those weights in the loss, or draw pixels by them."""
    ignore_index: int = 255
    """Mask value of pixels that count for nothing."""
    min_class_pixels: int = 0
    """Classes 1 to 49 on fewer pixels of a labelled image than this become class 0 there (30 in the released code)."""
    held_out: int = 0
    """Images kept from training to measure on."""
    train_on_all: bool = True
    """Once they are measured on, train again on all images, as long as was best, with the temperature that was found;
    False: the labeler that was measured is the result."""
    patience: int | None = None
    """End after so many measurements on the held-out images without a better one, and keep the best; None: never."""
    measure_every: int = 100
    """Steps between measurements and between points of the loss curve."""
    calibrate: bool = True
    """Fit one temperature for the ensemble's probabilities on the held-out images, where there are any."""
    score: Score = "class_mean"
    """Image score: the mean over the classes that an image shows of their mean divergence, so that small parts count;
    divergence summed over pixels (the paper); or the mean of its top tenth (the released code)."""
    aggregation: Aggregation = "vote"
    """Class of a pixel: the majority of the members' choices, or the largest mean probability."""
    precision: Precision = "float32"
    """Arithmetic of labeling; training is always float32."""
    keypoint_sigma: float = 5.0
    """Width of a keypoint's Gaussian, in pixels of an image whose longer side is ``keypoint_sigma_at``."""
    keypoint_sigma_at: int = 256
    keypoint_sigma_is: SigmaMeaning = "std"
    """Whether that is a standard deviation or, as the paper's words can be read, a variance."""
    keypoint_peak: float = 10.0
    """Height of the Gaussian."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", _tuple(self.hidden))
        object.__setattr__(self, "layers", _tuple(self.layers))
        problems = _problems(self)
        if problems:
            raise LabelerError("invalid labeler settings", problems)

    def keypoint_std(self, size: tuple[int, int]) -> float:
        """Standard deviation of a keypoint's Gaussian, in pixels of an image of ``size``."""
        std = self.keypoint_sigma if self.keypoint_sigma_is == "std" else self.keypoint_sigma**0.5
        return std * max(size) / self.keypoint_sigma_at

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` can write and :meth:`from_json` reads back."""
        values = asdict(self)
        return values | {"hidden": list(self.hidden), "layers": None if self.layers is None else list(self.layers)}

    @classmethod
    def from_json(cls, values: Any) -> "LabelerConfig":
        """Settings from a JSON object; what it leaves out is taken from its ``"preset"`` ("fast" where it names none).

        ``"keypoint_size"`` stands for the papers' Gaussians, see :data:`KEYPOINT_SIZES`. Raises :class:`LabelerError`
        naming every wrong field.
        """
        if not isinstance(values, dict):
            raise LabelerError("labeler settings are a JSON object", [Problem("not an object", "labeler")])
        values = dict(values)
        name, size = values.pop("preset", "fast"), values.pop("keypoint_size", None)
        known = {f.name for f in fields(cls)}
        problems = [Problem("unknown field", str(field)) for field in sorted(set(map(str, values)) - known)]
        if not isinstance(name, str) or name not in PRESETS:
            problems.append(Problem(f"not one of {', '.join(PRESETS)}", "preset"))
        if size is not None and (not isinstance(size, str) or size not in KEYPOINT_SIZES):
            problems.append(Problem(f"not one of {', '.join(KEYPOINT_SIZES)}", "keypoint_size"))
        if problems:
            raise LabelerError("invalid labeler settings", problems)
        return replace(PRESETS[name], **{**KEYPOINT_SIZES.get(size, {}), **values})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _is_count(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: Any, above: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and above < value <= most


def _problems(config: LabelerConfig) -> list[Problem]:
    found = [*_number_problems(config), *_list_problems(config)]
    found += [
        Problem("neither true nor false", name)
        for name in ("standardise", "calibrate", "train_on_all")
        if not isinstance(getattr(config, name), bool)
    ]
    found += [
        Problem(f"not one of {', '.join(choices)}", name)
        for name, choices in CHOICES.items()
        if getattr(config, name) not in choices
    ]
    if config.patience is not None and config.held_out == 0:
        found.append(Problem("there are no held-out images to measure on", "patience"))
    return found


def _number_problems(config: LabelerConfig) -> Iterator[Problem]:
    for name, (least, most) in (COUNTS | OPTIONAL_COUNTS).items():
        value = getattr(config, name)
        if not (name in OPTIONAL_COUNTS and value is None) and not _is_count(value, least, most):
            yield Problem(f"not a whole number from {least} to {most}", name)
    limits = (("learning_rate", 1.0), ("epochs", 1e6), ("keypoint_sigma", 1e6), ("keypoint_peak", 1e6))
    for name, limit in limits:
        if not _is_number(getattr(config, name), 0, limit):
            yield Problem(f"not a number above 0, {limit:g} at most", name)
    if not _is_number(config.class_balance, -1e-9, 1):
        yield Problem("not a number from 0 to 1", "class_balance")


def _list_problems(config: LabelerConfig) -> Iterator[Problem]:
    widths: Any = config.hidden
    if not isinstance(widths, tuple) or len(widths) > 4 or not all(_is_count(w, 1, 4096) for w in widths):
        yield Problem("not at most four widths from 1 to 4096", "hidden")
    names: Any = config.layers
    if names is not None and (not isinstance(names, tuple) or not names or not all(isinstance(n, str) for n in names)):
        yield Problem("neither null nor a list of names", "layers")


PRESETS = {
    "fast": LabelerConfig(),
    # What the papers' released code does: raw features, Adam 1e-3, batches of 64 pixels, about four epochs, parts of
    # fewer than 30 pixels removed. The image score is the paper's: the code's is "top10_mean".
    "paper": LabelerConfig(
        standardise=False,
        components=None,
        pixel_batch=64,
        learning_rate=1e-3,
        schedule="constant",
        epochs=4.0,
        max_steps=None,
        class_balance=0.0,
        calibrate=False,
        measure_every=1000,
        score="sum",
        min_class_pixels=30,
    ),
}
"""Settings by name."""
KEYPOINT_SIZES: dict[str, dict[str, Any]] = {
    "faces": {"keypoint_sigma": 5.0, "keypoint_sigma_at": 218},
    "bodies": {"keypoint_sigma": 25.0, "keypoint_sigma_at": 1024},
}
"""Widths of keypoint Gaussians by the size of what is labelled (HandsOff appendix B.6). Faces: pixels of CelebA's
images, 178 × 218. Bodies: the paper states no size; that of StyleGAN-Human, 512 × 1024, to which it resizes its images.
"""
