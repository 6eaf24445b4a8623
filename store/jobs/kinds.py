"""Kinds of job: the steps that each is made of, in order, and the queue that each step waits in.

The one table of them. A new kind is a `JobKind` in `KINDS`, its request in `store.specs`, and for every new step a
function in `worker.steps`; nothing else asks which kinds there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

#: `sample`: many short shards on an accelerator. `train`: one long shard on an accelerator. `cpu`: what needs none, so
#: that packing a finished dataset does not wait behind the sampling of another.
Queue = Literal["sample", "train", "cpu"]
QUEUES: tuple[Queue, ...] = get_args(Queue)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step. Its shards are made when the step before it is done: one shard, or for `fan_out` as many as the step
    before asked for in its result. `counts_images`: its shards' progress is the job's count of images.
    """

    name: str
    queue: Queue
    fan_out: bool = False
    counts_images: bool = False


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job. The last step is the one that finalizes."""

    name: str
    steps: tuple[StepPlan, ...]


GENERATE = JobKind(
    "generate",
    (
        StepPlan("validate", "cpu"),
        StepPlan("invert", "train"),
        StepPlan("train_labeler", "train"),
        StepPlan("sample", "sample", fan_out=True, counts_images=True),
        StepPlan("finalize", "cpu"),
    ),
)

#: Labelled images read as every job reads them, and nothing made of them: what a dry run learns of an upload.
CHECK_LABELS = JobKind("check_labels", (StepPlan("validate", "cpu"),))

#: A labeler for datasets to come, and what it is worth.
TRAIN_LABELER = JobKind(
    "train_labeler",
    (
        StepPlan("validate", "cpu"),
        StepPlan("invert", "train"),
        StepPlan("train_labeler", "train"),
        StepPlan("assess_labeler", "train"),
    ),
)

#: A dataset in another format: one long read of its shards.
EXPORT = JobKind("export", (StepPlan("export", "cpu", counts_images=True),))

#: Somebody else's checkpoint, fetched, read and stored in our form.
IMPORT_GENERATOR = JobKind("import_generator", (StepPlan("import_generator", "cpu"),))

#: An encoder for a generator, from its own samples, from labelled images, or from both.
TRAIN_ENCODER = JobKind("train_encoder", (StepPlan("validate", "cpu"), StepPlan("train_encoder", "train")))

#: What a dataset is worth: held-out labels are read like any others, then nets are trained and compared.
EVALUATE = JobKind("evaluate", (StepPlan("validate", "cpu"), StepPlan("evaluate", "train")))

#: What a labeler is worth: labelers of parts of its images label the rest.
ASSESS_LABELER = JobKind("assess_labeler", (StepPlan("assess_labeler", "train"),))

#: Images for people to label.
DRAW_SAMPLES = JobKind("draw_samples", (StepPlan("draw_samples", "sample", counts_images=True),))

KINDS: Mapping[str, JobKind] = {
    kind.name: kind
    for kind in (
        GENERATE, CHECK_LABELS, TRAIN_LABELER, EXPORT, IMPORT_GENERATOR, TRAIN_ENCODER, EVALUATE, ASSESS_LABELER,
        DRAW_SAMPLES,
    )
}  # fmt: skip
