"""Job kind `draw_samples`: images of a generator for people to label."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import Problem
from store.job_kinds.checks import SAMPLES_PREFIX, drawing_problems, reference_problems
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.requests.base import MAX_SEED, JobSpec
from store.requests.sampling import SamplingSpec

#: Samples to be labelled by hand at once.
MOST_SAMPLES = 2000


class DrawSamplesSpec(SamplingSpec, JobSpec):
    """Images of a generator for people to label, with their codes kept."""

    kind: Literal["draw_samples"] = "draw_samples"
    generator: str = Field(description="Name or id of a generator.", max_length=64)
    count: int = Field(ge=1, le=MOST_SAMPLES, description="Images.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Null: drawn at random and recorded.")
    offset: int = Field(0, ge=0, le=MAX_SEED, description="First sample of the seed's stream.")
    class_index: int | None = Field(None, ge=0, le=1_000_000, description="Of a conditional generator; null: any.")


def sample_set_id(job_id: str) -> str:
    """Return the id of the sample set that a `draw_samples` job makes."""
    return SAMPLES_PREFIX + job_id.partition("_")[2]


def _check(where: Submitting, spec: DrawSamplesSpec) -> list[Problem]:
    problems = reference_problems(where, labels=None, generator=spec.generator, count=spec.count)
    return problems + drawing_problems(where, spec.generator, spec)


KIND = JobKind(
    "draw_samples",
    (StepPlan("draw_samples", "sample", title="drawing samples", counts_images=True),),
    DrawSamplesSpec,
    makes=Makes("samples", "sample-sets"),
    refusal="these samples cannot be drawn",
    check=_check,
    images=lambda _where, spec: spec.count,
    result=lambda _spec, job_id: {"samples": sample_set_id(job_id)},
)
