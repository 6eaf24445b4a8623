"""What masks show: how often each class, how much of it, which together; real against generated."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.formats.translation import is_background
from core.label_sets.classes import ClassMap
from core.sampling.composition import Prevalence


@dataclass(frozen=True)
class LabelStatistics:
    """Counts over masks.

    images: how many. shown: int64 [K], images that show a class. pixels: int64 [K]. together: int64 [K, K], images that
    show both of two classes. area: float64 [K], a class's mean share of the images that show it, NaN if none does.
    """

    images: int
    shown: NDArray[np.int64]
    pixels: NDArray[np.int64]
    together: NDArray[np.int64]
    area: NDArray[np.float64]

    @property
    def prevalence(self) -> NDArray[np.float64]:
        """float64 [K]: share of images that show a class."""
        return np.asarray(self.shown / max(1, self.images), np.float64)

    @property
    def pixel_share(self) -> NDArray[np.float64]:
        """float64 [K]: share of the labelled pixels."""
        return np.asarray(self.pixels / max(1, int(self.pixels.sum())), np.float64)


def label_statistics(masks: Iterable[NDArray[np.uint8]], class_count: int, least_pixels: int = 1) -> LabelStatistics:
    """Count masks, uint8 [H, W] each; a class is shown from ``least_pixels`` on. Ids beyond the classes are ignored."""
    counts = _counts(masks, class_count)
    shown = counts >= max(1, least_pixels)
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    images_with = shown.sum(0)
    area = np.where(images_with > 0, (counts / totals * shown).sum(0) / np.maximum(images_with, 1), np.nan)
    return LabelStatistics(len(counts), images_with, counts.sum(0), shown.T.astype(np.int64) @ shown, area)


def label_shown(masks: Iterable[NDArray[np.uint8]], class_count: int, least_pixels: int = 1) -> NDArray[np.bool_]:
    """bool [N, K]: which masks show which class, on ``least_pixels`` or more."""
    return _counts(masks, class_count) >= max(1, least_pixels)


def _counts(masks: Iterable[NDArray[np.uint8]], class_count: int) -> NDArray[np.int64]:
    rows = [np.bincount(mask.ravel(), minlength=256)[:class_count] for mask in masks]
    return np.stack(rows) if rows else np.zeros((0, class_count), np.int64)


@dataclass(frozen=True)
class ClassComparison:
    """One class in both sets: shares of images, of pixels, and of the pixels that are not background (None for the
    background itself, and without one). ``generated_range``: 95 % interval (Wilson) of the share of generated images,
    since what is rare may be absent by chance.
    """

    class_id: int
    name: str
    real_images: float
    generated_images: float
    real_pixels: float
    generated_pixels: float
    generated_range: tuple[float, float]
    real_foreground: float | None = None
    generated_foreground: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**vars(self), "generated_range": list(self.generated_range)}


def compare_classes(real: LabelStatistics, generated: LabelStatistics, classes: ClassMap) -> list[ClassComparison]:
    """Every class by id."""
    background = background_of(classes)
    return [
        ClassComparison(
            one, classes.name(one), float(real.prevalence[one]), float(generated.prevalence[one]),
            float(real.pixel_share[one]), float(generated.pixel_share[one]),
            Prevalence(classes.name(one), 0, generated.images, int(generated.shown[one])).interval,
            *(_foreground(side, one, background) for side in (real, generated)),
        )
        for one in classes.ids
    ]  # fmt: skip


def background_of(classes: ClassMap) -> int | None:
    """Return the class that is background by its name, or None."""
    return next((one for one in classes.ids if is_background(classes.name(one))), None)


def _foreground(counted: LabelStatistics, class_id: int, background: int | None) -> float | None:
    """Share of a class in the labelled pixels that are not background."""
    if background is None or class_id == background:
        return None
    pixels = int(counted.pixels.sum() - counted.pixels[background])
    return float(counted.pixels[class_id] / max(1, pixels))


def plain_findings(real: LabelStatistics, generated: LabelStatistics, classes: ClassMap) -> list[str]:
    """What a person should know of the differences, in words; empty when there is nothing to say.

    A class is named when it is never drawn, or at less than a quarter of its real frequency; a pair of classes when
    both are drawn, are seen together in a tenth of real images or more, and in generated ones not at all.
    """
    words = []
    prevalence = zip(real.prevalence, generated.prevalence, strict=True)
    for one, (wanted, drawn) in enumerate(prevalence):
        if one not in classes.names or wanted == 0:
            continue
        name = classes.name(one)
        if drawn == 0:
            words.append(f"The generator never draws class '{name}', which {wanted:.0%} of the real images show.")
        elif drawn < wanted / 4:
            words.append(f"Class '{name}' is on {drawn:.1%} of the generated and on {wanted:.1%} of the real images.")
    for one in classes.ids:
        for other in (later for later in classes.ids if later > one):
            often = real.together[one, other] / max(1, real.images)
            apart = not generated.together[one, other] and generated.shown[one] and generated.shown[other]
            if often >= 0.1 and apart:
                first, second = classes.name(one), classes.name(other)
                words.append(f"'{first}' and '{second}' are never drawn together, as on {often:.0%} of real images.")
    return words
