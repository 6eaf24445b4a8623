"""The stream: sample i depends on (seed, i) alone, so that any part of it can be drawn anywhere, in any order."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.callbacks import Progress, ShouldStop, ignore_progress, never_stop, stop_if_asked
from core.errors import Problem, SamplingError
from core.generators.stylegan2.network import Network, Noise
from core.image_arrays import to_bytes
from core.labeling.labeler import Labeler, Labels
from core.sampling.config import SamplingConfig

LATENT_STREAM, CLASS_STREAM = 10, 11
"""Tell these random numbers from others of the same seed."""


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
    w_plus: NDArray[np.float32]
    """[num_ws, w_dim]: the code that it was drawn from; with the generator's digest it draws the sample again."""
    divergence: NDArray[np.float32] | None = None
    """[h, w] uncertainty of the first task, where asked for."""
    class_index: int | None = None
    """Class of the image, from a conditional generator."""
    keypoints: NDArray[np.float32] | None = None
    """[K, 3]: x and y in pixels of the label, and the height of the peak, 0..1, where keypoints are a task."""
    depth: NDArray[np.float32] | None = None
    """[h, w] in the label set's unit, where depth is a task."""
    scores: dict[str, float] = field(default_factory=dict)
    """The image score of every task."""


@dataclass(frozen=True)
class UnlabelledSample:
    """One image of the stream, as in :class:`Sample`."""

    index: int
    image: NDArray[np.uint8]
    w_plus: NDArray[np.float32]
    class_index: int | None


def latent(seed: int, index: int, z_dim: int) -> Tensor:
    """The z of sample ``index``: standard normal, float32 [z_dim], from (seed, index) alone."""
    random = np.random.default_rng([seed, LATENT_STREAM, index])
    return torch.from_numpy(random.standard_normal(z_dim, np.float32))


@torch.inference_mode()
def draw_codes(
    generator: Network, labeler: Labeler, w_plus: Tensor, size: tuple[int, int] | None = None
) -> tuple[Tensor, Labels]:
    """w+ codes [N, num_ws, w_dim] → images uint8 [N, H, W, 3] and their labels, from one pass of synthesis."""
    image, features = generator.synthesize(w_plus, labeler.noise, with_features=True)
    if not image.isfinite().all():
        raise SamplingError("the generator drew something that is not finite", [Problem("not finite", "image")])
    labels = labeler.label(features, size or generator.config.resolution)
    return to_bytes(image).permute(0, 2, 3, 1).contiguous(), labels


def draw(
    generator: Network,
    labeler: Labeler,
    config: SamplingConfig,
    *,
    device: torch.device | str = "cpu",
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> Iterator[Sample]:
    """Draw and label samples ``config.start`` … ``config.stop - 1``, in order.

    generator, labeler: on ``device``. Whole batches are computed, also where the asked part begins or ends inside one,
    so that a sample's bytes do not depend on where the stream was cut. Memory holds one batch. ``progress`` counts
    samples. Raises :class:`SamplingError` where the settings do not fit the generator, :class:`core.errors.Stopped`
    between batches when asked.
    """
    _check(generator, labeler, config)
    for indices in _batches(config, progress, should_stop):
        samples = _batch(generator, labeler, config, indices, device)
        yield from (sample for sample in samples if config.start <= sample.index < config.stop)


@torch.inference_mode()
def draw_unlabelled(
    generator: Network,
    noise: Noise,
    config: SamplingConfig,
    *,
    device: torch.device | str = "cpu",
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> Iterator[UnlabelledSample]:
    """The images of the same stream without labels, for people to label (DatasetGAN section 3.2); otherwise as
    :func:`draw`.
    """
    problems = _class_problems(generator, config)
    if problems:
        raise SamplingError("this stream cannot be drawn", problems)
    for indices in _batches(config, progress, should_stop):
        codes, classes = _codes(generator, config, indices, device)
        images = to_bytes(generator.synthesize(codes, noise).image).permute(0, 2, 3, 1).cpu().numpy()
        for row, index in enumerate(indices):
            if config.start <= index < config.stop:
                yield UnlabelledSample(index, images[row], codes[row].cpu().numpy(), classes[row])


def _batches(config: SamplingConfig, progress: Progress, should_stop: ShouldStop) -> Iterator[range]:
    """Places in the stream, a whole batch at a time; each is done when the next is asked for."""
    progress(0, config.stop - config.start)
    for first in range(config.start // config.batch * config.batch, config.stop, config.batch):
        stop_if_asked(should_stop)
        yield range(first, first + config.batch)
        progress(min(first + config.batch, config.stop) - config.start, config.stop - config.start)


def _codes(
    generator: Network, config: SamplingConfig, indices: range, device: torch.device | str
) -> tuple[Tensor, list[int | None]]:
    """w+ codes of a batch, [N, num_ws, w_dim], and the class of each."""
    z = torch.stack([latent(config.seed, index, generator.config.z_dim) for index in indices]).to(device)
    classes = [_class_of(generator, config, index) for index in indices]
    c = None
    if generator.config.c_dim:
        c = F.one_hot(torch.tensor(classes, device=device), generator.config.c_dim).float()
    return generator.map(z, c, config.truncation_psi, config.truncation_cutoff).contiguous(), classes


@torch.inference_mode()
def _batch(
    generator: Network, labeler: Labeler, config: SamplingConfig, indices: range, device: torch.device | str
) -> list[Sample]:
    codes, classes = _codes(generator, config, indices, device)
    images, labels = draw_codes(generator, labeler, codes, config.size)
    pictures, masks, w_plus = images.cpu().numpy(), labels.mask.cpu().numpy(), codes.cpu().numpy()
    maps = labels.divergence.cpu().numpy() if config.with_divergence else None
    points = None if labels.keypoints is None else labels.keypoints.cpu().numpy()
    depths = None if labels.depth is None else labels.depth.cpu().numpy()
    return [
        Sample(
            index=index,
            image=pictures[row],
            mask=masks[row],
            score=float(labels.scores[row]),
            class_pixels=np.bincount(masks[row].ravel(), minlength=labeler.class_count)[: labeler.class_count],
            w_plus=w_plus[row],
            divergence=None if maps is None else maps[row],
            class_index=classes[row],
            keypoints=None if points is None else points[row],
            depth=None if depths is None else depths[row],
            scores={task: float(scores[row]) for task, scores in labels.task_scores.items()},
        )
        for row, index in enumerate(indices)
    ]


def _class_of(generator: Network, config: SamplingConfig, index: int) -> int | None:
    if not generator.config.c_dim:
        return None
    if config.class_index is not None:
        return config.class_index
    return int(np.random.default_rng([config.seed, CLASS_STREAM, index]).integers(generator.config.c_dim))


def _class_problems(generator: Network, config: SamplingConfig) -> list[Problem]:
    c_dim = generator.config.c_dim
    if config.class_index is None or config.class_index < c_dim:
        return []
    return [Problem(f"the generator has {c_dim} classes", "class_index")]


def _check(generator: Network, labeler: Labeler, config: SamplingConfig) -> None:
    problems = _class_problems(generator, config)
    resolution = generator.config.resolution
    if config.size is not None and any(side > limit for side, limit in zip(config.size, resolution, strict=True)):
        problems.append(Problem(f"larger than the generator's {resolution}", "size"))
    if generator.feature_layers != labeler.feature_layers:
        problems.append(Problem("was trained on another generator", "labeler"))
    if problems:
        raise SamplingError("this stream cannot be drawn", problems)
