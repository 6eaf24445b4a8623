"""The quality report of a generator as one HTML page: memorisation, distances, classes, samples, closest pairs."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation.generator_quality import GeneratorQuality
from core.evaluation.metrics.comparison import DistributionScores
from core.evaluation.metrics.features import in_colour
from core.evaluation.metrics.training_memorization import ClosePair, TrainingMemorization
from core.evaluation.report import page
from core.indexed_images import Images
from core.visualization.contact_sheets import PairedImages, image_grid, pair_sheet

SHOWN_SAMPLES = 48
_MEASURES = {
    "fid": "FID", "kid": "KID", "precision": "precision", "recall": "recall", "density": "density",
    "coverage": "coverage", "class_fid_mean": "mean FID of classes",
}  # fmt: skip


def report_html(quality: GeneratorQuality, training: Images, held_out: Images, title: str) -> str:
    """Return the page; pictures stand inside. training, held_out: the images that the generator was evaluated with."""
    parts = [
        f'<p class="verdict {"failed" if quality.memorised else "passed"}">{html.escape(headline(quality))}</p>',
        page.note(_facts(quality)),
    ]
    notes = list(dict.fromkeys([*quality.notes, *(note for one in quality.scores for note in one.notes)]))
    if notes:
        parts += ["<h2>Notes</h2>", "<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in notes) + "</ul>"]
    parts += ["<h2>Distances to held-out images</h2>", _distances(quality)]
    if any(one.by_class for one in quality.scores):
        parts += ["<h2>Classes</h2>", *(_classes(one) for one in quality.scores if one.by_class)]
    parts += ["<h2>Memorisation</h2>", _memorization(quality.memorization)]
    for one in quality.memorization:
        name = one.space.extractor
        parts.append(page.picture(pairs_png(one, quality.samples, training, held_out), f"closest pairs by {name}"))
    parts += ["<h2>Samples</h2>", page.picture(samples_png(quality.samples, title), "samples of the generator")]
    return page.html_page(title, parts)


def headline(quality: GeneratorQuality) -> str:
    """Return the result in two sentences."""
    first = quality.scores[0]
    values = {name: value for name, value in first.to_json().items() if name in ("fid", "precision", "recall")}
    words = ", ".join(f"{_MEASURES[name]} {page.digits(value)}" for name, value in values.items())
    memorised = [one.sentence for one in quality.memorization if one.memorised] or [quality.memorization[0].sentence]
    return f"{words} ({first.spec.space.extractor}). {memorised[0]}"


def pairs_png(found: TrainingMemorization, samples: Images, training: Images, held_out: Images) -> bytes:
    """Return a picture of the closest pairs: of samples, and of held-out images for comparison."""

    def pairs(side: Images, chosen: Sequence[ClosePair]) -> list[PairedImages]:
        rows = []
        for one in chosen:
            image = _pictures(side, [one.image])[0]
            words = f"{one.image} and {one.training}   distance {one.distance:.3g}, relative {one.relative:.2f}"
            left = np.ascontiguousarray(image[:, ::-1]) if one.mirrored else image
            rows.append(PairedImages(left, _pictures(training, [one.training])[0], words))
        return rows

    sections = [
        ("Closest samples: sample  |  nearest training image", pairs(samples, found.closest)),
        ("Closest held-out images: held-out image  |  nearest training image", pairs(held_out, found.held_out_closest)),
    ]
    subtitle = (
        "The pairs of smallest relative distance (to the nearest over that to the second nearest training image), by "
        f"{found.space.extractor}."
    )
    return pair_sheet(sections, "Nearest training images", subtitle)


def samples_png(samples: Images, title: str) -> bytes:
    """Return a picture of the first samples."""
    shown = _pictures(samples, range(min(SHOWN_SAMPLES, len(samples))))
    return image_grid(shown, title, "The first samples, not chosen.")


def _pictures(images: Images, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
    """uint8 [H, W, 3] each."""
    return [np.ascontiguousarray(one.permute(1, 2, 0).numpy()) for one in in_colour(images.read(indices))]


def _facts(quality: GeneratorQuality) -> str:
    spec = quality.scores[0].spec
    settings = ", ".join(f"{name} {value}" for name, value in quality.generator["settings"].items())
    return (
        f"Generator {quality.generator['name'] or quality.generator['digest'][:12]} ({quality.generator['family']}; "
        f"{settings}): {spec.generated} samples of seed {spec.seed} against {spec.real} held-out images."
    )


def _distances(quality: GeneratorQuality) -> str:
    rows = []
    for score, reached in zip(quality.scores, quality.training_scores, strict=True):
        for name, one in (("samples", score), ("training images", reached)):
            values: dict[str, Any] = one.to_json()
            rows.append(
                (
                    html.escape(one.spec.space.extractor), name, str(one.spec.generated), one.spec.space.resize,
                    *(page.digits(values[measure]) for measure in _MEASURES),
                )
            )  # fmt: skip
    head = ("features", "compared", "images", "resized by", *_MEASURES.values())
    return page.table(head, rows, words={1}) + page.note(
        "Training images show the values that a perfect generator would reach. Values depend on the extractor, the "
        "resize rule and the numbers of images: compare them where all of these are equal. "
        + " ".join(_identity(one) for one in quality.scores)
    )


def _identity(score: DistributionScores) -> str:
    space, settings = score.spec.space, score.spec.settings
    weights = f"weights {space.digest[:12]}" if space.digest else "no weights file"
    return (
        f"{space.extractor}: {space.dimensions} features, {weights}; {settings.neighbours} neighbours, "
        f"{settings.kid_subsets} subsets of {settings.kid_subset_size}."
    )


def _classes(score: DistributionScores) -> str:
    rows = [(html.escape(one.name), str(one.real), str(one.generated), page.digits(one.fid)) for one in score.by_class]
    return page.table(("class", "held-out images", "samples", f"FID by {score.spec.space.extractor}"), rows)


def _memorization(found: Sequence[TrainingMemorization]) -> str:
    rows = [
        (
            html.escape(one.space.extractor), f"{one.distance_ratio:.3f}", f"{one.relative_ratio:.3f}",
            f"{one.effect:.3f}", f"{one.p_value:.2g}", str(len(one.copies)),
            f'<b class="{"failed" if one.memorised else "passed"}">{"yes" if one.memorised else "no"}</b>',
        )
        for one in found
    ]  # fmt: skip
    head = ("features", "distance ratio", "relative ratio", "effect", "p", "copies", "memorised")
    return page.table(head, rows) + page.note(
        "Distance ratio: median distance of samples to their nearest training image over that of held-out images. "
        "Relative: the same of the distance to the nearest over that to the second nearest training image, which "
        "blurred samples do not lower. Effect: probability that a sample has a smaller relative distance than a "
        "held-out image; 0.5 without memorisation. p: Mann-Whitney test. Copies: samples far closer than held-out "
        "images."
    )
