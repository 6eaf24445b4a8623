"""Kinds of job: the steps that each is made of, in order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step. Its shards are made when the step before it is done: one shard, or for `fan_out` as many as the step
    before asked for in its result. `counts_images`: its shards' progress is the job's count of images.
    """

    name: str
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
        StepPlan("validate"),
        StepPlan("invert"),
        StepPlan("train_labeler"),
        StepPlan("sample", fan_out=True, counts_images=True),
        StepPlan("finalize"),
    ),
)
