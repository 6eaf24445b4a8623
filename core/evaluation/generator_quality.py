"""Quality of a generator: its samples against held-out images, and whether they repeat training images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from core.errors import EvaluationError, Problem
from core.evaluation.image_sources import PartOfImages, SampledImages, StoredImages
from core.evaluation.metrics.comparison import DistributionScores, MetricSettings, compare_images
from core.evaluation.metrics.extractors import Extractor, pixel_extractor
from core.evaluation.metrics.features import extract_features
from core.evaluation.metrics.training_memorization import TrainingMemorization, training_memorization
from core.generators.interface import Sampler
from core.indexed_images import Images
from core.run import Run

ClassBalance = Literal["held_out", "uniform"]
CLASS_STREAM = 31
"""Separates these random numbers from others of the same seed."""
MOST_STORED_BYTES = 8 << 30
"""Samples are kept in a temporary file up to this size; larger ones are drawn again for each extractor."""


@dataclass(frozen=True)
class GeneratorQualityConfig:
    """Settings of the evaluation of a generator."""

    samples: int = 10_000
    class_balance: ClassBalance = "held_out"
    """Classes of the samples: in the proportions of the held-out images, or all equally often."""
    mirrored: bool = False
    """Whether the generator was trained with mirror images; the check for memorisation then compares them as well."""
    metrics: MetricSettings = field(default_factory=MetricSettings)

    def __post_init__(self) -> None:
        problems = []
        if self.samples < 2:
            problems.append(Problem(f"expected 2 or more, found {self.samples}", "samples"))
        if self.class_balance not in ("held_out", "uniform"):
            problems.append(Problem(f"expected held_out or uniform, found {self.class_balance!r}", "class_balance"))
        if problems:
            raise EvaluationError("invalid settings of an evaluation", problems)


@dataclass(frozen=True, eq=False)
class GeneratorQuality:
    """Result of the evaluation.

    scores: samples against held-out images, one for each extractor. training_scores: the same of training images, the
    values that a perfect generator would reach. memorization: one for each feature space in which it was checked.
    samples: the images, for pictures.
    """

    generator: Mapping[str, Any]
    """Name, family and digests of the generator, and its settings: JSON values."""
    scores: tuple[DistributionScores, ...]
    training_scores: tuple[DistributionScores, ...]
    memorization: tuple[TrainingMemorization, ...]
    samples: Images
    notes: tuple[str, ...]

    @property
    def memorised(self) -> bool:
        """Whether samples repeat training images in some feature space."""
        return any(one.memorised for one in self.memorization)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "version": 1,
            "generator": dict(self.generator),
            "memorised": self.memorised,
            "memorization": [one.to_json() for one in self.memorization],
            "scores": [one.to_json() for one in self.scores],
            "training_scores": [one.to_json() for one in self.training_scores],
            "notes": list(self.notes),
        }


def generator_quality(
    sampler: Sampler,
    training: Images,
    held_out: Images,
    extractors: Sequence[Extractor] = (),
    config: GeneratorQualityConfig | None = None,
    run: Run | None = None,
) -> GeneratorQuality:
    """Compare samples of ``sampler`` with held-out images, and with the training images for memorisation.

    Without extractors, features are means of 16 x 16 patches. Memorisation is checked in these and in the features of
    the first extractor. ``run.seed`` draws samples, classes and subsets; ``run.progress`` counts images read. Memory
    does not grow with the number of images; samples and features lie in temporary files in ``run.folder``.

    Raises :class:`EvaluationError` for images of another size than the generator's or too few of them,
    :class:`core.errors.Stopped`.
    """
    config, run = config or GeneratorQualityConfig(), run or Run()
    _check(sampler, training, held_out)
    pixels = pixel_extractor()
    used = list(extractors) or [pixels]
    spaces = [pixels] if used[0].name == pixels.name else [pixels, used[0]]
    samples, notes = _samples(sampler, held_out, config, run.seed)
    some = PartOfImages(training, _spread(len(training), config.samples))
    stored = int(np.prod(samples.shape)) * len(samples) <= MOST_STORED_BYTES
    queries = (1 + config.mirrored) * (len(held_out) + len(samples))
    steps = _Steps(
        run,
        len(samples) * stored
        + len(used) * (len(samples) + len(held_out) + len(some))
        + len(spaces) * (len(training) + queries),
    )
    drawn: Images = StoredImages(samples, steps.next(len(samples))) if stored else samples
    scores, reached = [], []
    for one in used:
        real, generated, seen = (
            extract_features(one, images, steps.next(len(images))) for images in (held_out, drawn, some)
        )
        scores.append(compare_images(real, generated, config.metrics, run))
        reached.append(compare_images(real, seen, config.metrics, run))
    memorization = tuple(
        training_memorization(
            one, training, held_out, drawn, mirrored=config.mirrored, run=steps.next(len(training) + queries)
        )
        for one in spaces
    )
    return GeneratorQuality(_facts(sampler), tuple(scores), tuple(reached), memorization, drawn, notes)


def _check(sampler: Sampler, training: Images, held_out: Images) -> None:
    height, width = sampler.resolution
    most = sampler.generator.channels
    problems = []
    for name, images in (("training", training), ("held_out", held_out)):
        if len(images) < 2:
            problems.append(Problem(f"expected at least 2 images, found {len(images)}", name))
        if images.shape[1:] != (height, width):
            detail = f"expected images of {width} x {height} pixels as the generator's, found {images.shape[2]} x "
            problems.append(Problem(f"{detail}{images.shape[1]}", name))
        if images.shape[0] > most:
            problems.append(Problem("expected grey images as the generator's, found images in colour", name))
    if problems:
        raise EvaluationError("this generator cannot be evaluated with these images", problems)


def _samples(
    sampler: Sampler, held_out: Images, config: GeneratorQualityConfig, seed: int
) -> tuple[SampledImages, tuple[str, ...]]:
    """Return the samples with their classes, and notes on classes that cannot be compared."""
    count = sampler.generator.code.classes
    if not count:
        notes = ("No values by class: the generator has no classes.",) if held_out.classes else ()
        return SampledImages(sampler, config.samples, seed), notes
    names = tuple(sampler.generator.info.classes) or tuple(f"class {index}" for index in range(count))
    shares, notes = np.full(count, 1 / count), ()
    if not held_out.classes or held_out.class_index is None:
        notes = ("No values by class: the images have no classes. Samples are of all classes equally often.",)
    elif config.class_balance == "held_out":
        found = Counter(held_out.classes[index] for index in held_out.class_index.tolist())
        numbers = np.array([found[name] for name in names], np.float64)
        strange = sorted(found.keys() - set(names))
        if not numbers.sum():
            notes = (f"No class of the images is one of the generator's ({', '.join(names[:20])}).",)
        else:
            shares = numbers / numbers.sum()
            if strange:
                notes = (f"Classes that the generator does not have: {', '.join(strange)}.",)
    drawn = np.random.default_rng([seed, CLASS_STREAM]).choice(count, config.samples, p=shares)
    return SampledImages(sampler, config.samples, seed, torch.from_numpy(drawn), names), notes


def _spread(count: int, most: int) -> list[int]:
    """Indices of at most ``most`` of ``count`` images, evenly spread."""
    return [int(index) for index in np.linspace(0, count - 1, min(count, most)).astype(np.int64)]


def _facts(sampler: Sampler) -> dict[str, Any]:
    generator = sampler.generator
    return {
        "name": generator.info.name,
        "family": generator.family,
        "digest": generator.info.digest,
        "sampler_digest": sampler.digest,
        "settings": dict(sampler.settings),
        "classes": list(generator.info.classes),
    }


class _Steps:
    """Progress of several calls as one."""

    def __init__(self, run: Run, total: int) -> None:
        self.run, self.total, self.done = run, total, 0

    def next(self, count: int) -> Run:
        """Return the surroundings of a call that counts to ``count``."""
        before = self.done
        self.done += count
        return replace(self.run, progress=lambda done, _total: self.run.progress(before + done, self.total))
