"""Job kind `train_encoder`: an encoder for a generator, from its own samples, from labelled images, or from both."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import Problem
from store.job_kinds.checks import inversion_problems, perceptual_problems, reference_problems
from store.job_kinds.labeling import VALIDATE
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.requests.base import JobSpec
from store.requests.inversion import FramingSpec


class TrainEncoderSpec(FramingSpec, JobSpec):
    """An encoder for a generator: where inversions begin."""

    kind: Literal["train_encoder"] = "train_encoder"
    generator: str = Field(description="Name or id of a generator.", max_length=64)
    train_on: Literal["labels", "samples", "both"] = Field(
        "samples",
        description="What it learns from: labelled images, the generator's own samples (of known codes), or both.",
    )
    labels: str | None = Field(
        None, max_length=64, description="A finished upload (`upl_…`) or a label set (`ls_…`), unless for `samples`."
    )
    heads: Literal["e4e", "psp"] = Field(
        "e4e", description="One code and small offsets of the layers, or a code of its own for every layer."
    )
    image_size: int = Field(128, ge=16, le=256, description="Pixels of the longer side that it looks at, at most.")
    steps: int | None = Field(None, ge=1, le=1_000_000, description="Training steps; null: the default.")
    mirror: bool = Field(True, description="Labelled images are mirrored left to right at random.")
    feature_weight: float = Field(
        0.0,
        ge=0.0,
        le=100.0,
        description="Weight of a loss on what the perceptual network sees in an image as a whole, wherever it is.",
    )


def _check(where: Submitting, spec: TrainEncoderSpec) -> list[Problem]:
    problems = reference_problems(where, labels=spec.labels, generator=spec.generator, count=None)
    problems += perceptual_problems(where, spec.generator)
    if spec.train_on == "samples" and spec.labels is not None:
        problems.append(Problem("not used to train on samples: leave it out, or train on labels or both", "/labels"))
    if spec.train_on != "samples" and spec.labels is None:
        problems.append(Problem(f"needed to train on {spec.train_on}", "/labels"))
    return problems + inversion_problems(where, spec.generator)


KIND = JobKind(
    "train_encoder",
    (VALIDATE, StepPlan("train_encoder", "train", title="training encoder")),
    TrainEncoderSpec,
    makes=Makes("encoder", "encoders"),
    refusal="the encoder cannot be trained like this",
    check=_check,
)
