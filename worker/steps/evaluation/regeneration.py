"""Samples drawn once more, by the generator and labeler that made a dataset: to see whether they come out the same,
what the filter took out, and what another labeler would have said of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.callbacks import ShouldStop, stop_if_asked
from core.datasets.samples import StoredSample
from core.errors import EvaluationError, LabelerError, Problem
from core.evaluation.downstream.images import ArrayImages, Relabelled, ShardImages, Targets
from core.evaluation.gates import Regeneration, rounded_share
from core.generators.interface import Codes, Sampler
from core.label_sets.label_set import LabelSet
from core.labeling.labeler import Labels, TrainedLabeler
from core.labeling.methods import config_from_json, train_by_method
from core.run import Run
from core.sampling.config import SamplingConfig
from core.sampling.rejection import Rejection
from core.sampling.stream import Sample, draw, draw_codes
from core.tasks.keypoints import with_visibility
from core.tasks.task import Task
from store.requests.sampling import sampling_settings
from worker.loading import load_source
from worker.runtime.step_context import StepContext
from worker.samplers import bind_sampler, drawn_classes, load_rejection
from worker.steps.evaluation.data import DatasetOrigin
from worker.steps.generation.candidate_index import Drawn
from worker.steps.labeler.config import stored_labeler

#: Samples drawn again from their latents, and samples shown that were dropped.
_REDRAWN, _DROPPED = 32, 8


@dataclass(frozen=True)
class Makers:
    """Generator and labeler of a dataset. `batch`: how many images were drawn at once; `drawn`: which samples were."""

    sampler: Sampler
    labeler: TrainedLabeler
    device: str
    batch: int
    drawn: Drawn
    classes: tuple[int, ...] = ()
    """Classes of the generator that take turns in the stream."""
    rejection: Rejection | None = None


def load_makers(context: StepContext, origin: DatasetOrigin) -> Makers:
    """Return generator and labeler of the job that made the dataset. Raises what says that they are no longer there."""
    source = load_source(context, origin.request.generator)
    sampler = bind_sampler(context, source, sampling_settings(origin.request)).sampler
    if origin.labeler is None:
        raise LabelerError("the dataset's job names no labeler")
    labeler = stored_labeler(context, origin.labeler, source.device)
    drawn = Drawn.of(context.db, origin.job_id)
    # Images depend on the batch that they were drawn in: another would differ by rounding.
    batch = drawn.batch or context.settings.worker.batch
    classes = tuple(drawn_classes(source, origin.request.classes))
    rejection = load_rejection(context, source, origin.request.rejection)
    return Makers(sampler, labeler, source.device, batch, drawn, classes, rejection)


def regenerate(makers: Makers, generated: ShardImages) -> Regeneration:
    """Draw stored samples again from their latents, in batches of the size they were drawn in, and count the images
    and labels that come out different.
    """
    count = min(_REDRAWN, len(generated))
    places = np.linspace(0, len(generated) - 1, count).astype(np.int64)
    samples = [generated.sample(int(one)) for one in places]
    rounded: list[float | None] = []
    labels_differ = 0
    for start, images, labels in _drawn(makers, samples):
        for row in range(len(images)):
            sample = samples[start + row]
            rounded.append(rounded_share(images[row], sample.image()))
            labels_differ += not _same(labels, row, sample)
    shares = [share for share in rounded if share]
    return Regeneration(count, rounded.count(None), labels_differ, len(shares), max(shares, default=0.0))


def dropped_samples(
    makers: Makers, generated: ShardImages, task: Task
) -> tuple[ArrayImages, NDArray[np.float64]] | None:
    """Some samples that were drawn and that the filter left out of the dataset, the most uncertain first, with their
    uncertainty; None where every one is there. Samples that a partial job could not draw are no part of it.
    """
    there = set(generated.indices())
    missing = [one for first, stop in makers.drawn.ranges for one in range(first, stop) if one not in there]
    if not missing:
        return None
    record = generated.sample(0).record()
    settings = SamplingConfig(
        seed=record["seed"], start=0, stop=1, batch=makers.batch, classes=makers.classes,
    )  # fmt: skip
    chosen = [missing[one] for one in np.linspace(0, len(missing) - 1, min(_DROPPED, len(missing))).astype(int)]
    found = [
        sample
        for index in chosen
        for sample in draw(
            makers.sampler,
            makers.labeler,
            replace(settings, start=index, stop=index + 1),
            Run(makers.device),
            makers.rejection,
        )
    ]
    found.sort(key=lambda one: -one.scores.get(task, one.score))
    targets = np.stack([_sampled(one, task) for one in found])
    images = ArrayImages(np.stack([one.image for one in found]), targets)
    return images, np.array([one.scores.get(task, one.score) for one in found])


def relabel(
    makers: Makers,
    generated: ShardImages,
    labels: LabelSet,
    most: int,
    task: Task,
    folder: Path,
    should_stop: ShouldStop,
) -> Relabelled:
    """The dataset's images as a labeler labels them that learnt from `labels` of up to `most` of these very images,
    named by their index (DatasetGAN's way). Labels go to a file in `folder`.

    Raises EvaluationError naming every image that is none of the dataset.
    """
    places = {index: place for place, index in enumerate(generated.indices())}
    problems = [
        Problem("is no image of the dataset: the name is its index there", item.name)
        for item in labels.items
        if not item.name.isdecimal() or int(item.name) not in places
    ]
    if task not in labels.tasks:
        problems.append(Problem(f"has no {task}", "generated_labels"))
    if problems:
        raise EvaluationError("these labels of generated images cannot be learnt from", problems)
    items = labels.items[:most]
    spec = makers.sampler.generator.code
    codes = Codes.cat([generated.sample(places[int(item.name)]).code(spec) for item in items])
    config = replace(config_from_json(makers.labeler.settings_json()), held_out=0)
    labeler = train_by_method(
        makers.sampler, codes, items, labels.classes.count, config, run=Run(makers.device, should_stop=should_stop)
    )
    like = generated.take(np.array([0]))[1]
    found = np.lib.format.open_memmap(
        folder / "relabelled.npy", mode="w+", dtype=like.dtype, shape=(len(generated), *like.shape[1:])
    )
    other = replace(makers, labeler=labeler)
    for first in range(0, len(generated), 64 * makers.batch):
        stop_if_asked(should_stop)
        samples = [generated.sample(one) for one in range(first, min(first + 64 * makers.batch, len(generated)))]
        for start, images, drawn in _drawn(other, samples):
            for row in range(len(images)):
                found[first + start + row] = _label(drawn, row, task)
    return Relabelled(generated, found)


def _drawn(makers: Makers, samples: list[StoredSample]) -> Iterator[tuple[int, NDArray[np.uint8], Labels]]:
    """Images and labels of stored latents, a batch at a time, with the place of its first. Whole batches of the size
    that made them: the last bit of a sum may depend on it.
    """
    codes = Codes.cat([one.code(makers.sampler.generator.code) for one in samples])
    size = samples[0].mask().shape
    for start in range(0, len(samples), makers.batch):
        rows = np.arange(start, start + makers.batch) % len(samples)
        some = codes[rows.tolist()].to(makers.device)
        images, labels = draw_codes(makers.sampler, makers.labeler, some, (size[0], size[1]))
        yield start, images[: len(samples) - start].cpu().numpy(), labels


def _label(labels: Labels, row: int, task: Task) -> Targets:
    """One image's label as it stands in shards."""
    if task == "segmentation":
        return labels.mask[row].cpu().numpy()
    wanted = labels.keypoints if task == "keypoints" else labels.depth
    assert wanted is not None, "a labeler of this task"
    found = wanted[row].cpu().numpy()
    return _three(found) if task == "keypoints" else found


def _sampled(sample: Sample, task: Task) -> Targets:
    """The same of a sample that was just drawn."""
    if task == "keypoints":
        return _three(sample.keypoints)
    return sample.mask if task == "segmentation" else np.asarray(sample.depth)


def _three(points: NDArray[np.float32] | None) -> Targets:
    """Predicted x, y, peak → x, y, visibility."""
    assert points is not None, "a labeler of keypoints"
    return with_visibility(points)[:, :3]


def _same(labels: Labels, row: int, sample: StoredSample) -> bool:
    """Whether every label of the sample is as it was stored."""
    points, depth = sample.keypoints(), sample.depth()
    return (
        np.array_equal(labels.mask[row].cpu().numpy(), sample.mask())
        and (points is None or np.array_equal(_label(labels, row, "keypoints"), points[:, :3]))
        and (depth is None or np.array_equal(_label(labels, row, "depth"), depth))
    )
