"""Data of an evaluation: the dataset's samples, the labels that made it, and those that judge it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from core.datasets.shard_index import INDEX, index_path
from core.errors import EvaluationError, Problem
from core.evaluation.arms import EvaluationData
from core.evaluation.downstream.images import ArrayImages, Shard, ShardImages, Targets
from core.evaluation.near_copies import near_copies
from core.evaluation.scoring import DepthScoring, MaskScoring, PointScoring, Scoring
from core.label_sets.classes import ClassMap
from core.label_sets.label_set import LabelItem, LabelSet
from core.tasks.task import Task
from store.job_kinds.evaluate import EvaluateSpec
from store.job_kinds.generate import GenerateSpec
from store.jobs.job_result import LabelSetMade
from store.jobs.views import job_view
from store.objects import verified
from store.resources.datasets import get_dataset
from store.resources.files import File, list_files
from worker.loading import load_labels
from worker.runtime.step_context import StepContext
from worker.steps.label_sets.class_collapse import delivered
from worker.steps.label_sets.framing import framed


def shards_of(context: StepContext, dataset: str) -> list[Shard]:
    """The dataset's shards: copied to this machine, or read where they are when they would take half of its room."""
    folder = context.folder / "dataset"
    folder.mkdir()
    listed = list_files(context.db, dataset, tenant=context.tenant, prefix="shards/")
    if 2 * sum(file.bytes for file in listed) > shutil.disk_usage(folder).free:
        names = {one.name for one in list_files(context.db, dataset, tenant=context.tenant, prefix=INDEX)}
        return [_streamed(context, one, index_path(one.name) in names) for one in listed]
    return [Shard.local(context.fetch(dataset, file.name, into=folder)) for file in listed]


def _streamed(context: StepContext, shard: File, indexed: bool) -> Shard:
    """A shard whose samples are read from the object store one by one. Datasets of the first release have no index."""
    opened = partial(verified.open_ranges, context.objects, shard)
    index = context.fetch(shard.resource_id, index_path(shard.name)).read_bytes() if indexed else None
    return Shard(shard.name, opened, shard.sha256, index)


@dataclass(frozen=True)
class DatasetOrigin:
    """The job that made the dataset: its id, its request, and the ids of what it made."""

    job_id: str
    request: GenerateSpec
    label_set: str
    labeler: str | None

    @classmethod
    def of(cls, context: StepContext, dataset: str) -> Self:
        """Read the job of a dataset. Raises NotFound."""
        job_id = get_dataset(context.db, dataset, tenant=context.tenant).job_id
        job = job_view(context.db, job_id, tenant=context.tenant)
        request = GenerateSpec.model_validate(job.spec)
        made = LabelSetMade.of(job.result.to_json())
        return cls(job_id, request, made.label_set, made.labeler)


def judged_labels(context: StepContext, origin: DatasetOrigin, spec: EvaluateSpec) -> tuple[LabelSet, LabelSet, Task]:
    """The labels that made the dataset, those that judge it, and the task. Raises EvaluationError naming every reason
    why these cannot judge those.
    """
    labelled, held_out = (
        delivered(load_labels(context, labels), origin.request.labeler.collapse)
        for labels in (origin.label_set, context.result(LabelSetMade).label_set)
    )
    task = spec.task or labelled.tasks[0]
    problems = [
        Problem(f"{whose} have {' and '.join(labels.tasks)}", "task")
        for whose, labels in (("the dataset's labels", labelled), ("the labels that judge", held_out))
        if task not in labels.tasks
    ]
    if not problems and _meaning(labelled, task) != _meaning(held_out, task):
        what = {"segmentation": "classes", "keypoints": "keypoints", "depth": "unit of depth"}[task]
        problems.append(Problem(f"its {what} are not those of the dataset's labels", "labels"))
    if problems:
        raise EvaluationError("this dataset cannot be evaluated with these labels", problems)
    return labelled, held_out, task


def evaluation_data(
    generated: ShardImages, labelled: LabelSet, held_out: LabelSet, task: Task, origin: DatasetOrigin
) -> EvaluationData:
    """All of one size, brought there as the images were that made the dataset. Raises EvaluationError where an image
    that shall judge has made the dataset, or is a copy of one that was encoded or resized again.
    """
    height, width = generated.take(np.array([0]))[0].shape[1:3]
    first, second = (framed(one, (height, width), origin.request) for one in (labelled, held_out))
    _refuse_copies(first, second)
    uncertainty = np.array([_uncertainty(generated, one, task) for one in range(len(generated))])
    names = tuple(item.name for item in first.items)
    classes = first.classes if task == "segmentation" else ClassMap({})
    scoring = _scoring(first, task, (height, width))
    return EvaluationData(scoring, classes, generated, uncertainty, _arrays(first, task), _arrays(second, task), names)


def label_of(item: LabelItem, task: Task) -> Targets:
    """The item's label for the task."""
    label = {"segmentation": item.mask, "keypoints": item.keypoints, "depth": item.depth}[task]
    assert label is not None, "a label set of this task"
    return label


def _scoring(labels: LabelSet, task: Task, size: tuple[int, int]) -> Scoring:
    if task == "segmentation":
        return MaskScoring(labels.classes)
    if task == "keypoints":
        assert labels.keypoints is not None
        return PointScoring(labels.keypoints.names, size)
    return DepthScoring(np.stack([label_of(item, task) for item in labels.items]))


def _meaning(labels: LabelSet, task: Task) -> object:
    if task == "segmentation":
        return labels.classes.to_json()
    if task == "keypoints":
        return labels.keypoints
    return labels.depth.unit if labels.depth else None


def _uncertainty(generated: ShardImages, place: int, task: Task) -> float:
    record = generated.sample(place).record()
    return float(record.get("uncertainty_by_task", {}).get(task, record["uncertainty"]))


def _arrays(labels: LabelSet, task: Task) -> ArrayImages:
    return ArrayImages(
        np.stack([item.image for item in labels.items]), np.stack([label_of(item, task) for item in labels.items])
    )


def _refuse_copies(labelled: LabelSet, held_out: LabelSet) -> None:
    """Raise EvaluationError for images that also made the dataset, also where they were encoded or resized again."""
    names = [item.name for item in held_out.items]
    images = [item.image for item in held_out.items]
    originals = [item.image for item in labelled.items]
    copies = near_copies(images, originals)
    same = {index for index, original in copies.items() if np.array_equal(images[index], originals[original])}
    problems = []
    if same:
        named = ", ".join(names[index] for index in sorted(same)[:5])
        problems.append(
            Problem(f"{len(same)} images also made the dataset ({named}): they cannot be used to evaluate it", "labels")
        )
    if again := sorted(copies.keys() - same):
        pairs = (f"{names[index]} of {labelled.items[copies[index]].name}" for index in again[:5])
        detail = f"{len(again)} images are copies, encoded or resized again, of images that made the dataset"
        problems.append(Problem(f"{detail} ({', '.join(pairs)}): they cannot be used to evaluate it", "labels"))
    if problems:
        raise EvaluationError("this dataset cannot be evaluated with these labels", problems)
