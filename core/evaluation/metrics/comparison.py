"""All distances between real and generated images in one feature space, with everything that their values depend on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import EvaluationError, Problem
from core.evaluation.metrics.distribution import (
    ClassDistance,
    KidSettings,
    Manifold,
    class_distances,
    frechet_distance,
    kernel_distance,
    manifold_scores,
)
from core.evaluation.metrics.features import FeatureSet, FeatureSpace, feature_array
from core.evaluation.metrics.nearest import blocks
from core.run import Run


@dataclass(frozen=True)
class MetricSettings:
    """Settings of the measures; the defaults are those of the published definitions."""

    neighbours: int = 5
    """Of precision, recall, density and coverage."""
    kid_subsets: int = 100
    kid_subset_size: int = 1000
    least_in_class: int = 2
    """Images that a class needs on each side for a distance of its own; 2 is where a covariance begins to exist."""

    def __post_init__(self) -> None:
        least = {"neighbours": 1, "kid_subsets": 1, "kid_subset_size": 2, "least_in_class": 2}
        problems = [
            Problem(f"expected {number} or more, found {getattr(self, name)}", name)
            for name, number in least.items()
            if getattr(self, name) < number
        ]
        if problems:
            raise EvaluationError("invalid settings of metrics", problems)


@dataclass(frozen=True)
class MetricSpec:
    """Everything that values of two results must share to be comparable, and the seed."""

    space: FeatureSpace
    settings: MetricSettings
    real: int
    """Number of real images."""
    generated: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            **self.space.to_json(), **asdict(self.settings), "real": self.real, "generated": self.generated,
            "seed": self.seed,
        }  # fmt: skip


@dataclass(frozen=True)
class DistributionScores:
    """Distances between real and generated images. A value that cannot be computed is None, and ``notes`` has the
    reason.
    """

    spec: MetricSpec
    fid: float | None
    kid: float | None
    kid_std: float | None
    manifold: Manifold | None
    by_class: tuple[ClassDistance, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def class_fids(self) -> NDArray[np.float64]:
        """Fréchet distances of the classes that have one, float64 [K]."""
        return np.array([one.fid for one in self.by_class if one.fid is not None])

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        found = self.class_fids
        return {
            "spec": self.spec.to_json(),
            "fid": self.fid,
            "kid": self.kid,
            "kid_std": self.kid_std,
            **(dict.fromkeys(Manifold.__dataclass_fields__) if self.manifold is None else asdict(self.manifold)),
            "class_fid_mean": float(found.mean()) if len(found) else None,
            "class_fid_std": float(found.std()) if len(found) else None,
            "by_class": [asdict(one) for one in self.by_class],
            "notes": list(self.notes),
        }


def compare_images(
    real: FeatureSet, generated: FeatureSet, settings: MetricSettings | None = None, run: Run | None = None
) -> DistributionScores:
    """Return all distances; within each class as well where both sides have classes, which are matched by name.

    ``run.seed`` draws the subsets of the kernel distance. Memory does not grow with the number of images. Raises
    :class:`EvaluationError` for features of different extractors, weights or resize rules.
    """
    settings, run = settings or MetricSettings(), run or Run()
    _check_spaces(real.space, generated.space)
    if real.space.standardized:
        real, generated = _standardized(real, generated, run.folder)
    spec = MetricSpec(real.space, settings, len(real), len(generated), run.seed)
    fewer, notes = min(len(real), len(generated)), _notes(spec)
    if fewer < 2:
        return DistributionScores(spec, None, None, None, None, notes=notes)
    fid = frechet_distance(real.rows, generated.rows)
    run.stop_if_asked()
    subsets = KidSettings(settings.kid_subsets, settings.kid_subset_size, run.seed)
    kid = kernel_distance(real.rows, generated.rows, subsets)
    run.stop_if_asked()
    manifold = None
    if fewer > settings.neighbours:
        manifold = manifold_scores(real.rows, generated.rows, settings.neighbours, run.device)
    run.stop_if_asked()
    by_class, more = _by_class(real, generated, settings.least_in_class, subsets)
    return DistributionScores(spec, fid, *kid, manifold, by_class, notes + more)


def _check_spaces(real: FeatureSpace, generated: FeatureSpace) -> None:
    problems = [
        Problem(f"real images: {one!r}; generated images: {other!r}", name)
        for name, one in real.to_json().items()
        if (other := getattr(generated, name)) != one
    ]
    if problems:
        raise EvaluationError("features of different spaces cannot be compared", problems)


def _standardized(real: FeatureSet, generated: FeatureSet, folder: Path | None) -> tuple[FeatureSet, FeatureSet]:
    """Move and scale both sides such that the real one has mean 0, and variance 1 on average over the features.

    Features keep their relative scales: those that hardly vary over the real images would dominate otherwise.
    """
    mean, variance = np.zeros(real.space.dimensions), 0.0
    for _, part in blocks(real.rows):
        mean += part.sum(0).numpy() / len(real)
    for _, part in blocks(real.rows):
        variance += float(np.square(part.numpy() - mean).sum()) / len(real) / mean.size
    scale = max(float(np.sqrt(variance)), 1e-12)
    sides = []
    for side in (real, generated):
        rows = feature_array(len(side), mean.size, folder)
        for place, part in blocks(side.rows):
            rows[place] = (part.numpy() - mean) / scale
        sides.append(replace(side, rows=rows))
    return sides[0], sides[1]


def _notes(spec: MetricSpec) -> tuple[str, ...]:
    """Reasons why values are absent or not comparable."""
    fewer, settings, notes = min(spec.real, spec.generated), spec.settings, []
    counts = f"{spec.real} real and {spec.generated} generated images"
    if fewer < 2:
        return (f"No distances: {counts}; at least 2 on each side are needed.",)
    if fewer <= settings.neighbours:
        notes.append(
            f"No precision, recall, density and coverage: {counts}; at least {settings.neighbours + 1} on each side "
            f"are needed for {settings.neighbours} neighbours."
        )
    if fewer <= spec.space.dimensions:
        notes.append(
            f"The Fréchet distance of {counts} with {spec.space.dimensions} features each depends on these numbers: "
            "compare it with distances of as many images alone."
        )
    if fewer < settings.kid_subset_size:
        notes.append(f"The kernel distance is that of subsets of {fewer} images, not {settings.kid_subset_size}.")
    return tuple(notes)


def _by_class(
    real: FeatureSet, generated: FeatureSet, least: int, subsets: KidSettings
) -> tuple[tuple[ClassDistance, ...], tuple[str, ...]]:
    if not real.has_classes or not generated.has_classes:
        return (), ()
    names = [*real.classes, *(name for name in generated.classes if name not in real.classes)]
    found = class_distances(
        real.rows, _shown(real, names), generated.rows, _shown(generated, names), names, least, subsets
    )
    few = [f"{one.name} ({one.real} real, {one.generated} generated)" for one in found if one.fid is None]
    if not few:
        return found, ()
    return found, (f"Classes with fewer than {least} images on a side have no distances: {', '.join(few)}.",)


def _shown(side: FeatureSet, names: Sequence[str]) -> NDArray[np.bool_]:
    """bool [N, K]: images that are of, or show, a class of ``names``."""
    places = np.array([names.index(name) for name in side.classes])
    if side.shows is not None:
        found = np.zeros((len(side), len(names)), bool)
        found[:, places] = side.shows
        return found
    assert side.class_index is not None
    return np.asarray(np.equal.outer(places[side.class_index], np.arange(len(names))))
