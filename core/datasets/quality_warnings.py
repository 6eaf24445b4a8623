"""What is known of a finished dataset, and what a person must be warned of, in plain words."""

import statistics as stats
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.datasets.statistics import DatasetStatistics
from core.label_sets.classes import ClassMap
from core.label_sets.label_set import ClassShare
from core.labeling.config import Score
from core.labeling.rare_classes import rare_classes

# Median PSNR of the labelled images' reconstructions, dB: above, they are close; below, they are other pictures.
CLOSE_PSNR, POOR_PSNR = 28.0, 20.0
FLAGGED_TOO_OFTEN = 0.25
SCARCE = 1 / 3
#: Fewer labelled images than this are warned of.
FEW_LABELS = 16
#: Held-out IoU of a class that the composition asks for, and mean IoU, below which is warned.
LOW_IOU = 0.5
#: Labelled images that one warning names.
_NAMED = 5


@dataclass(frozen=True)
class InvertedLabel:
    """How well the generator redraws one labelled image. ``psnr`` in dB; ``perceptual``: a distance, 0 is equal."""

    name: str
    psnr: float
    perceptual: float
    flagged: bool = False
    dropped: bool = False


@dataclass(frozen=True)
class GeneratorFacts:
    """The frozen generator: its name, the SHA-256 of its weights, whose licence, what it draws."""

    name: str
    digest: str
    licence: str
    domain: str


@dataclass(frozen=True)
class HeldOutFacts:
    """Scores of the labeler on labelled images that were kept aside. ``mean_iou``, ``accuracy``: 0..1, None where
    nothing could be scored. ``iou``: IoU (0..1) by class id of each class that occurs there or was predicted; None
    where it is not known.
    """

    images: int
    mean_iou: float | None
    accuracy: float | None
    iou: Mapping[int, float] | None
    trained_on_all: bool = False


@dataclass(frozen=True)
class DroppedFacts:
    """Why drawn images were dropped: ``uncertain`` ones by the filter, ``composition`` ones in favour of images that
    show the classes asked for.
    """

    uncertain: int = 0
    composition: int = 0


@dataclass(frozen=True)
class SteeredClass:
    """A class that the composition asks for: at least ``min_fraction`` (0..1) of the images show it on ``min_area``
    (0..1) of their pixels, as the labeler predicts them.
    """

    class_id: int
    min_fraction: float
    min_area: float


@dataclass(frozen=True)
class DatasetFacts:
    """Everything the card says.

    ``name``: the title, equal for equal runs. ``requested``: the count asked for. ``size``: (height, width).
    ``label_shares`` and ``label_count`` are of the label set, ``statistics`` of the kept samples. ``candidates``:
    samples drawn before the filter. ``digests``: SHA-256 of label set and labeler. ``perceptual``: the distance that
    inversion used. ``settings``: JSON values. ``pictures``: title and path of the pictures beside the card.
    ``held_out``: None where no labelled image was kept aside. ``steered``: what the composition asks for.
    ``seen_in_training``: names of labelled images that also trained the generator. ``score``: image score by which
    samples were ranked and filtered.
    """

    name: str
    classes: ClassMap
    statistics: DatasetStatistics
    requested: int
    candidates: int
    complete: bool
    size: tuple[int, int]
    generator: GeneratorFacts
    label_count: int
    label_shares: Mapping[int, ClassShare]
    inversion: Sequence[InvertedLabel]
    perceptual: str
    digests: Mapping[str, str]
    settings: Mapping[str, Any]
    pictures: Mapping[str, str] = field(default_factory=dict)
    held_out: HeldOutFacts | None = None
    dropped: DroppedFacts = DroppedFacts()
    steered: Sequence[SteeredClass] = ()
    seen_in_training: Sequence[str] = ()
    score: Score = "class_mean"

    def share_of_images(self, class_id: int) -> float:
        """Share of the dataset's images that show the class, 0..1."""
        return self.statistics.images[class_id] / max(1, self.statistics.count)

    def share_of_pixels(self, class_id: int) -> float:
        """Share of the dataset's pixels of the class, 0..1."""
        return self.statistics.pixels[class_id] / max(1, self.statistics.pixels.total())

    def share_of_labels(self, class_id: int) -> float:
        """Share of the labelled images that show the class, 0..1."""
        return self.label_shares[class_id].images / max(1, self.label_count)


def inversion_verdict(facts: DatasetFacts) -> str:
    """One honest paragraph on how well the generator redraws the labelled images."""
    rows = facts.inversion
    if not rows:
        return "The labelled images were not inverted for this dataset; nothing is known of how well they are redrawn."
    psnr, perceptual = stats.median(row.psnr for row in rows), stats.median(row.perceptual for row in rows)
    flagged, dropped = sum(row.flagged for row in rows), sum(row.dropped for row in rows)
    if psnr >= CLOSE_PSNR:
        words = "The generator redraws the labelled images closely"
    elif psnr >= POOR_PSNR:
        words = "The generator redraws the labelled images recognisably and loses detail"
    else:
        words = "The generator cannot redraw the labelled images, which are not what it has learnt to draw"
    tail = f"; {dropped} were left out of training" if dropped else ""
    return (
        f"{words}: median PSNR {psnr:.1f} dB (worst {min(row.psnr for row in rows):.1f}), "
        f"median perceptual distance {perceptual:.3f} ({facts.perceptual}), over {len(rows)} images. "
        f"{flagged} of {len(rows)} are flagged as reconstructed badly{tail}. "
        "What is lost here is lost in the labels too: the labeler learns from the redrawn image and the given mask."
    )


def plain_warnings(facts: DatasetFacts) -> list[str]:
    """Everything that speaks against the dataset as it is: first the :func:`reasons_against`, then rare classes, then
    lesser findings; empty when nothing was found.
    """
    return [
        *reasons_against(facts),
        *rare_classes_of(facts),
        *_delivery_warnings(facts),
        *_inversion_warnings(facts),
        *_label_warnings(facts),
        *_composition_warnings(facts),
        *_class_warnings(facts),
    ]


def reasons_against(facts: DatasetFacts) -> list[str]:
    """Why the dataset should not be used without a look at its labels; empty when no such reason was found."""
    if not facts.statistics.count:
        return ["The dataset holds no images."]
    psnr = _median_psnr(facts)
    if psnr is not None and psnr < POOR_PSNR:
        return [
            f"The generator cannot redraw the labelled images (median PSNR {psnr:.1f} dB). "
            "It was trained on other pictures; do not use these labels without looking at them."
        ]
    return []


def rare_classes_of(facts: DatasetFacts) -> list[str]:
    """A sentence for each class that few labelled images show, or that was found badly on those kept aside."""
    iou = None if facts.held_out is None else facts.held_out.iou
    return rare_classes(facts.classes, facts.label_shares, facts.label_count, iou, "held-out")


def _median_psnr(facts: DatasetFacts) -> float | None:
    return stats.median(row.psnr for row in facts.inversion) if facts.inversion else None


def _delivery_warnings(facts: DatasetFacts) -> list[str]:
    count = facts.statistics.count
    if not facts.complete:
        return [f"The dataset is not complete: {count:,} of {facts.requested:,} images are there."]
    if count < facts.requested:
        return [f"{count:,} images are there and {facts.requested:,} were asked for."]
    return []


def _inversion_warnings(facts: DatasetFacts) -> list[str]:
    rows, psnr = facts.inversion, _median_psnr(facts)
    if psnr is None or psnr < POOR_PSNR:
        return []
    flagged = sum(row.flagged for row in rows)
    if flagged > FLAGGED_TOO_OFTEN * len(rows):
        return [f"{flagged} of {len(rows)} labelled images are reconstructed badly; their masks teach the wrong thing."]
    return []


def _label_warnings(facts: DatasetFacts) -> list[str]:
    lines = []
    if facts.seen_in_training:
        count, more = len(facts.seen_in_training), len(facts.seen_in_training) - _NAMED
        names = ", ".join(facts.seen_in_training[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        lines.append(
            f"{count} of {facts.label_count} labelled images also trained the generator ({names}): it redraws them "
            "better than new images, and scores on them are too good."
        )
    if facts.label_count < FEW_LABELS:
        count = facts.label_count
        images = "labelled image" if count == 1 else "labelled images"
        lines.append(f"Only {count} {images}: {FEW_LABELS} to a few hundred are recommended.")
    score = facts.held_out
    if score is not None and score.mean_iou is not None and score.mean_iou < LOW_IOU:
        lines.append(
            f"The held-out mIoU is {score.mean_iou:.3f} (labelled images kept aside: {score.images}); look at the "
            "labels before you use them."
        )
    return lines


def _composition_warnings(facts: DatasetFacts) -> list[str]:
    lines = []
    for class_id in dict.fromkeys(steered.class_id for steered in facts.steered):
        name, labelled = facts.classes.name(class_id), facts.label_shares[class_id].images
        reasons = []
        if labelled <= 1:
            reasons.append(f"{labelled or 'no'} labelled image shows it")
        if facts.held_out is not None and facts.held_out.iou is not None:
            iou = facts.held_out.iou.get(class_id)
            if iou is None:
                reasons.append("no labelled image kept aside shows it, so its IoU is not known")
            elif iou < LOW_IOU:
                reasons.append(f"its held-out IoU is {iou:.2f}")
        if reasons:
            lines.append(
                f"The composition asks for class '{name}' and counts predicted pixels, but {' and '.join(reasons)}: "
                "look at the images that were chosen for it."
            )
    return lines


def _class_warnings(facts: DatasetFacts) -> list[str]:
    lines = []
    if not facts.statistics.count:
        return []
    for class_id in facts.classes.ids:
        name = facts.classes.name(class_id)
        labelled, shown = facts.label_shares[class_id].images, facts.statistics.images[class_id]
        before = f"{labelled} of {facts.label_count} labelled images do"
        if not labelled:
            lines.append(f"No labelled image shows class '{name}', so nothing was learnt about it.")
        elif not shown:
            lines.append(f"No image shows class '{name}' ({before}): it is not drawn, or not found.")
        elif facts.share_of_images(class_id) < SCARCE * facts.share_of_labels(class_id):
            lines.append(
                f"Only {_percent(facts.share_of_images(class_id))} of the images show class '{name}' ({before})."
            )
        elif facts.share_of_pixels(class_id) > 0.98:
            lines.append(f"Class '{name}' fills {_percent(facts.share_of_pixels(class_id))} of all pixels.")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"
