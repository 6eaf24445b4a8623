"""The stream: sample i depends on (seed, i) alone, so that any part of it can be drawn anywhere, in any order."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import LabelerError, Problem, SamplingError
from core.generators.interface import Codes, Sampler
from core.image_arrays import pictures
from core.labeling.labeler import Labels, TrainedLabeler
from core.run import Run
from core.sampling.config import SamplingConfig
from core.sampling.rejection import Rejection


@dataclass(frozen=True)
class Sample:
    """One labelled image."""

    index: int
    """Its place in the stream."""
    image: NDArray[np.uint8]
    """[H, W, 3]."""
    mask: NDArray[np.uint8]
    """[h, w] class ids; the image's size unless another was asked for. The ignore index everywhere where segmentation
    is no task of the labeler."""
    score: float
    """The labeler's image score for its first task: how much its members disagree. Higher is less certain."""
    class_pixels: NDArray[np.int64]
    """[class_count]: pixels labelled with each class."""
    code: Codes
    """The code of this one image, on the CPU: with the sampler it draws the sample again."""
    divergence: NDArray[np.float32] | None = None
    """[h, w] uncertainty of the first task, where asked for."""
    class_index: int | None = None
    """Class of the image, from a conditional generator."""
    keypoints: NDArray[np.float32] | None = None
    """[K, 3]: x and y in pixels of the label, and the height of the peak, 0..1, where keypoints are a task."""
    depth: NDArray[np.float32] | None = None
    """[h, w] in the label set's unit, where depth is a task."""
    confidence: float | None = None
    """Confidence of the classifier that chose the sample, 0..1, where there was one."""
    scores: dict[str, float] = field(default_factory=dict)
    """The image score of every task."""


@dataclass(frozen=True)
class UnlabelledSample:
    """One image of the stream, as in :class:`Sample`."""

    index: int
    image: NDArray[np.uint8]
    code: Codes
    class_index: int | None
    confidence: float | None = None


@torch.inference_mode()
def draw_codes(
    sampler: Sampler, labeler: TrainedLabeler, codes: Codes, size: tuple[int, int] | None = None
) -> tuple[Tensor, Labels]:
    """N codes → images uint8 [N, H, W, 3] and their labels, from one pass of synthesis."""
    synthesis = sampler.synthesize(codes, with_features=True)
    if not synthesis.image.isfinite().all():
        raise SamplingError("the generator drew values that are not finite", [Problem("not finite", "image")])
    labels = labeler.label_synthesis(synthesis, size or sampler.resolution)
    return pictures(synthesis.image), labels


def draw(
    sampler: Sampler,
    labeler: TrainedLabeler,
    config: SamplingConfig,
    run: Run | None = None,
    rejection: Rejection | None = None,
) -> Iterator[Sample]:
    """Draw and label samples ``config.start`` … ``config.stop - 1``, in order. rejection: how codes are chosen.

    sampler, labeler: on ``run.device``. Whole batches are computed, also where the requested part begins or ends inside
    one, so that a sample's bytes do not depend on where the stream was cut. Memory holds one batch. ``run.progress``
    counts samples. Raises :class:`SamplingError` where the settings do not fit the generator,
    :class:`core.errors.Stopped` between batches when asked.
    """
    _check(sampler, labeler, config, rejection)
    for indices in _batches(config, run or Run()):
        samples = _batch(sampler, labeler, config, indices, rejection)
        yield from (sample for sample in samples if config.start <= sample.index < config.stop)


@torch.inference_mode()
def draw_unlabelled(
    sampler: Sampler, config: SamplingConfig, run: Run | None = None, rejection: Rejection | None = None
) -> Iterator[UnlabelledSample]:
    """Draw the images of the same stream without labels, for people to label (DatasetGAN section 3.2); otherwise as
    :func:`draw`.
    """
    problems = _class_problems(sampler, config, rejection)
    if problems:
        raise SamplingError("this stream cannot be drawn", problems)
    for indices in _batches(config, run or Run()):
        codes, classes, confidence = _codes(sampler, config, indices, rejection)
        images = pictures(sampler.synthesize(codes).image).cpu().numpy()
        kept = codes.to("cpu")
        for row, index in enumerate(indices):
            if config.start <= index < config.stop:
                yield UnlabelledSample(index, images[row], kept[row : row + 1], classes[row], confidence[row])


def _batches(config: SamplingConfig, run: Run) -> Iterator[range]:
    """Yield places in the stream, a whole batch at a time; each is done when the next is requested."""
    run.progress(0, config.stop - config.start)
    for first in range(config.start // config.batch * config.batch, config.stop, config.batch):
        run.stop_if_asked()
        yield range(first, first + config.batch)
        run.progress(min(first + config.batch, config.stop) - config.start, config.stop - config.start)


def _codes(
    sampler: Sampler, config: SamplingConfig, indices: range, rejection: Rejection | None
) -> tuple[Codes, list[int | None], list[float | None]]:
    """Return the codes of a batch, the class of each, and the confidence of the classifier that chose them."""
    unknown: list[float | None] = [None] * len(indices)
    if not sampler.generator.code.classes:
        return sampler.draw(config.seed, indices), [None] * len(indices), unknown
    turns = config.classes or range(sampler.generator.code.classes)
    classes = [turns[index % len(turns)] for index in indices]
    if rejection is None:
        return sampler.draw(config.seed, indices, classes), list(classes), unknown
    codes, confidence = rejection.draw(sampler, config.seed, indices, classes)
    return codes, list(classes), list(confidence.tolist())


@torch.inference_mode()
def _batch(
    sampler: Sampler,
    labeler: TrainedLabeler,
    config: SamplingConfig,
    indices: range,
    rejection: Rejection | None,
) -> list[Sample]:
    codes, classes, confidence = _codes(sampler, config, indices, rejection)
    drawn, labels = draw_codes(sampler, labeler, codes, config.size)
    images, masks, kept = drawn.cpu().numpy(), labels.mask.cpu().numpy(), codes.to("cpu")
    maps = labels.divergence.cpu().numpy() if config.with_divergence else None
    points = None if labels.keypoints is None else labels.keypoints.cpu().numpy()
    depths = None if labels.depth is None else labels.depth.cpu().numpy()
    return [
        Sample(
            index=index,
            image=images[row],
            mask=masks[row],
            score=float(labels.scores[row]),
            class_pixels=np.bincount(masks[row].ravel(), minlength=labeler.class_count)[: labeler.class_count],
            code=kept[row : row + 1],
            divergence=None if maps is None else maps[row],
            class_index=classes[row],
            confidence=confidence[row],
            keypoints=None if points is None else points[row],
            depth=None if depths is None else depths[row],
            scores={task: float(scores[row]) for task, scores in labels.task_scores.items()},
        )
        for row, index in enumerate(indices)
    ]


def _class_problems(sampler: Sampler, config: SamplingConfig, rejection: Rejection | None) -> list[Problem]:
    classes = sampler.generator.code.classes
    if rejection is not None and not classes:
        return [Problem("the generator has no classes for a classifier to judge", "rejection")]
    if all(one < classes for one in config.classes):
        return []
    return [Problem(f"the generator has {classes} classes", "classes")]


def _check(sampler: Sampler, labeler: TrainedLabeler, config: SamplingConfig, rejection: Rejection | None) -> None:
    problems = _class_problems(sampler, config, rejection)
    if config.size is not None and any(side > most for side, most in zip(config.size, sampler.resolution, strict=True)):
        problems.append(Problem(f"larger than the generator's {sampler.resolution}", "size"))
    try:
        labeler.check_source(sampler)
    except LabelerError as error:
        problems += error.problems
    if problems:
        raise SamplingError("this stream cannot be drawn", problems)
