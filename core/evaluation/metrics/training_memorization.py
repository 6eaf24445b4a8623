"""Memorisation by a generator: nearest training images of its samples, compared with those of held-out images.

Held-out images are as new as an image can be. A generator that repeats training images comes nearer to them than
held-out images do. Two measures of nearness are compared:

- The distance to the nearest training image. Blurred samples have a small one as well, since they lie near the mean.
- The relative distance: the distance to the nearest over that to the second nearest training image (Lowe 2004, section
  7.1, uses it for the same purpose). It is near 1 for any new image, blurred or not, and near 0 for a copy.

The test is that of Meehan et al. 2020 (a three-sample test for data copying), applied to relative distances: Mann and
Whitney's, whether samples have smaller ones than held-out images.

Probability that an image has a smaller value than a held-out one, in means of 16 x 16 patches, of 1,100 to 5,000
photographs at 64 pixels (chest radiographs, people, CIFAR-10); the mean of the 50 nearest is Carlini's divisor (2023):

=================================  ====================  ====================  ====================
images                             distance              over mean of 50       over second nearest
=================================  ====================  ====================  ====================
new                                0.48 to 0.50          0.48 to 0.50          0.48 to 0.53
new, halved toward the mean        0.84 (radiographs)    0.35, 0.67, 0.74      0.41, 0.54, 0.55
new, Gaussian blur of 3 pixels     0.55 (radiographs)    0.38, 0.66, 0.67      0.41, 0.58, 0.55
training images, changed smoothly  0.92 to 0.99          0.99 to 1.00          0.99 to 1.00
training images, moved 3 pixels    0.18 (radiographs)    0.51, 0.99, 0.99      0.56, 0.98, 1.00
=================================  ====================  ====================  ====================
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from core.errors import EvaluationError, Problem
from core.evaluation.metrics.extractors import Extractor
from core.evaluation.metrics.features import FeatureSpace, feature_batches, space_of
from core.evaluation.metrics.nearest import BLOCK, blocks, squared_distances
from core.indexed_images import Images
from core.run import Run

COPY, LOWEST = 0.5, 0.01
"""A sample is a copy where its distance, or relative distance, is below ``COPY`` times the ``LOWEST`` quantile of
held-out images."""
SIGNIFICANT = 0.01
LEAST_EFFECT = 0.65
"""Probability that a sample has a smaller relative distance than a held-out image, from which on the test counts."""
CLOSEST = 12
"""Pairs that are kept for the report."""


@dataclass(frozen=True, eq=False)
class Nearness:
    """Nearness of Q images to the training images: ``distance``, ``relative``: float64 [Q]; ``index``: int64 [Q], the
    nearest training image; ``mirrored``: bool [Q], whether the mirror image of the query is nearer than the query.
    """

    distance: NDArray[np.float64]
    relative: NDArray[np.float64]
    index: NDArray[np.int64]
    mirrored: NDArray[np.bool_]


@dataclass(frozen=True)
class ClosePair:
    """An image with its nearest training image, both by index."""

    image: int
    training: int
    distance: float
    relative: float
    mirrored: bool


@dataclass(frozen=True)
class TrainingMemorization:
    """Result of the check.

    distance_ratio, relative_ratio: median of the samples over that of held-out images; below 1, samples are nearer to
    training images. effect: probability that a sample has a smaller relative distance than a held-out image, 0.5
    without memorisation. p_value: of the one-sided test. copies: samples that are far closer than held-out images.
    closest, held_out_closest: pairs of smallest relative distance.
    """

    space: FeatureSpace
    training: int
    held_out: int
    samples: int
    mirrored: bool
    """Whether mirror images were compared as well."""
    distance_ratio: float
    relative_ratio: float
    effect: float
    p_value: float
    copies: tuple[int, ...]
    closest: tuple[ClosePair, ...]
    held_out_closest: tuple[ClosePair, ...]

    @property
    def memorised(self) -> bool:
        """Whether samples repeat training images."""
        return bool(self.copies) or (self.p_value < SIGNIFICANT and self.effect >= LEAST_EFFECT)

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        facts = (
            f"samples lie at {self.distance_ratio:.2f} times the distance of held-out images to their nearest of "
            f"{self.training} training images (relative distance: {self.relative_ratio:.2f} times, p = "
            f"{self.p_value:.2g})"
        )
        if self.copies:
            return f"{len(self.copies)} of {self.samples} samples are copies of training images; {facts}."
        return f"{'Training images are repeated' if self.memorised else 'No sign of memorisation'}: {facts}."

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            **{name: value for name, value in asdict(self).items() if name not in ("closest", "held_out_closest")},
            "copies": list(self.copies),
            "closest": [asdict(one) for one in self.closest],
            "held_out_closest": [asdict(one) for one in self.held_out_closest],
            "memorised": self.memorised,
            "sentence": self.sentence,
        }


def training_memorization(
    extractor: Extractor,
    training: Images,
    held_out: Images,
    samples: Images,
    *,
    mirrored: bool = False,
    run: Run | None = None,
) -> TrainingMemorization:
    """Compare the samples of a generator with its training images, and held-out images with the same.

    mirrored: whether the generator was trained with mirror images; each sample and held-out image is then compared in
    both orientations. ``run.progress`` counts images of all three sets. Memory grows with the numbers of samples and
    held-out images, not with that of the training images. Raises :class:`EvaluationError` where a side is empty or
    there is one training image.
    """
    run = run or Run()
    few = {"training": (training, 2), "held-out": (held_out, 1), "generated": (samples, 1)}
    problems = [
        Problem(f"expected at least {least} {name} images, found {len(images)}", name)
        for name, (images, least) in few.items()
        if len(images) < least
    ]
    if problems:
        raise EvaluationError("memorisation cannot be checked", problems)
    counted = _Counted(run, len(training) + (1 + mirrored) * (len(held_out) + len(samples)))
    queries, width = [], 0
    for images in (samples, held_out):
        for flip in (False, True) if mirrored else (False,):
            source = extractor if not flip else _mirroring(extractor)
            queries.append(np.concatenate(list(counted(feature_batches(source, images, run)))))
            width = queries[-1].shape[1]
    rows = np.concatenate(queries)
    distance, second, index = _nearest_training(rows, counted(feature_batches(extractor, training, run)), run)
    relative = np.divide(distance, second, out=np.zeros_like(distance), where=second > 0)
    split = len(samples) * (1 + mirrored)
    mine = _oriented(distance[:split], relative[:split], index[:split], mirrored)
    theirs = _oriented(distance[split:], relative[split:], index[split:], mirrored)
    test = mannwhitneyu(mine.relative, theirs.relative, alternative="less")
    return TrainingMemorization(
        space=space_of(extractor, width),
        training=len(training),
        held_out=len(held_out),
        samples=len(samples),
        mirrored=mirrored,
        distance_ratio=_ratio(mine.distance, theirs.distance),
        relative_ratio=_ratio(mine.relative, theirs.relative),
        effect=1 - float(test.statistic) / (len(samples) * len(held_out)),
        p_value=float(test.pvalue),
        copies=_copies(mine, theirs),
        closest=_closest(mine),
        held_out_closest=_closest(theirs),
    )


def _mirroring(extractor: Extractor) -> Extractor:
    """The features of mirror images."""
    return Extractor(
        extractor.name, lambda images: extractor.network(images.flip(3)), extractor.device, extractor.digest,
        extractor.resize, extractor.standardized,
    )  # fmt: skip


class _Counted:
    """Report progress over several streams of features."""

    def __init__(self, run: Run, total: int) -> None:
        self.run, self.total, self.done = run, total, 0

    def __call__(self, stream: Iterator[tuple[slice, NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
        """Yield the features in blocks."""
        waiting: list[NDArray[np.float32]] = []
        for _, part in stream:
            waiting.append(part)
            if sum(map(len, waiting)) + len(part) > BLOCK:
                yield np.concatenate(waiting)
                waiting = []
            self.done += len(part)
            self.run.progress(self.done, self.total)
        if waiting:
            yield np.concatenate(waiting)


def _nearest_training(
    queries: NDArray[np.float32], training: Iterator[NDArray[np.float32]], run: Run
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the distance of each query to the nearest and to the second nearest training image, and the index of the
    nearest.
    """
    best = torch.full((len(queries), 2), torch.inf, dtype=torch.float64)
    index = torch.zeros(len(queries), dtype=torch.int64)
    start = 0
    for part in training:
        run.stop_if_asked()
        _, other = next(blocks(part, run.device))
        for place, mine in blocks(queries, run.device):
            near = squared_distances(mine, other).cpu()
            value, at = near.min(1)
            index[place] = torch.where(value < best[place, 0], at + start, index[place])
            best[place] = torch.cat([best[place], near], 1).topk(2, largest=False).values
        start += len(part)
    distances = best.sqrt().numpy()
    return distances[:, 0], distances[:, 1], index.numpy()


def _oriented(
    distance: NDArray[np.float64], relative: NDArray[np.float64], index: NDArray[np.int64], mirrored: bool
) -> Nearness:
    """Keep the nearer orientation of each query; the mirror images stand behind the images."""
    if not mirrored:
        return Nearness(distance, relative, index, np.zeros(len(distance), bool))
    count = len(distance) // 2
    flipped = distance[count:] < distance[:count]
    pick: Callable[[NDArray[Any]], NDArray[Any]] = lambda values: np.where(flipped, values[count:], values[:count])  # noqa: E731
    return Nearness(pick(distance), pick(relative), pick(index), flipped)


def _ratio(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    return float(np.median(mine) / max(float(np.median(theirs)), 1e-12))


def _copies(mine: Nearness, theirs: Nearness) -> tuple[int, ...]:
    limits = [COPY * np.quantile(one, LOWEST, method="lower") for one in (theirs.distance, theirs.relative)]
    found = (mine.distance < limits[0]) | (mine.relative < limits[1])
    return tuple(int(one) for one in np.flatnonzero(found))


def _closest(found: Nearness) -> tuple[ClosePair, ...]:
    order = np.argsort(found.relative, kind="stable")[:CLOSEST]
    return tuple(
        ClosePair(
            int(one), int(found.index[one]), float(found.distance[one]), float(found.relative[one]),
            bool(found.mirrored[one]),
        )
        for one in order
    )  # fmt: skip
