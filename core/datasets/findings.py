"""What is known of a finished dataset, and what a person must be warned of, in plain words."""

import statistics as stats
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.datasets.classes import ClassMap
from core.datasets.label_set import ClassShare
from core.datasets.statistics import DatasetStatistics

# Median PSNR of the labelled images' reconstructions, dB: above, they are close; below, they are other pictures.
CLOSE_PSNR, POOR_PSNR = 28.0, 20.0
FLAGGED_TOO_OFTEN = 0.25
SCARCE = 1 / 3


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
class DatasetFacts:
    """Everything the card says.

    ``requested``: the count asked for. ``size``: (height, width). ``label_shares`` and ``label_count`` are of the label
    set, ``statistics`` of the kept samples. ``candidates``: samples drawn before the filter. ``digests``: SHA-256 of
    label set and labeler. ``perceptual``: the distance that inversion used. ``settings``: JSON values.
    ``pictures``: title and path of the pictures beside the card.
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
    """What speaks against using the dataset as it is, worst first; empty when nothing was found."""
    return [*_delivery_warnings(facts), *_inversion_warnings(facts), *_class_warnings(facts)]


def _delivery_warnings(facts: DatasetFacts) -> list[str]:
    count = facts.statistics.count
    if not facts.complete:
        return [f"The dataset is not complete: {count:,} of {facts.requested:,} images are there."]
    if count < facts.requested:
        return [f"{count:,} images are there and {facts.requested:,} were asked for."]
    return []


def _inversion_warnings(facts: DatasetFacts) -> list[str]:
    rows = facts.inversion
    if not rows:
        return []
    psnr, flagged = stats.median(row.psnr for row in rows), sum(row.flagged for row in rows)
    if psnr < POOR_PSNR:
        return [
            f"The generator cannot redraw the labelled images (median PSNR {psnr:.1f} dB). "
            "It was trained on other pictures; do not use these labels without looking at them."
        ]
    if flagged > FLAGGED_TOO_OFTEN * len(rows):
        return [f"{flagged} of {len(rows)} labelled images are reconstructed badly; their masks teach the wrong thing."]
    return []


def _class_warnings(facts: DatasetFacts) -> list[str]:
    lines = []
    if not facts.statistics.count:
        return ["The dataset holds no images."]
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
