"""Job kind `draw_samples`: images of a generator for people to label."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import Problem
from store.job_kinds.checks import (
    SAMPLES_PREFIX,
    drawing_problems,
    image_class_problems,
    image_classes,
    reference_problems,
    rejection_problems,
)
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.requests.base import MAX_SEED, JobSpec
from store.requests.sampling import RejectionSpec, SamplingSpec

#: Samples to be labelled by hand at once.
MOST_SAMPLES = 5000


class DrawSamplesSpec(SamplingSpec, JobSpec):
    """Images of a generator for people to label, with their codes kept."""

    kind: Literal["draw_samples"] = "draw_samples"
    generator: str = Field(description="Name or id of a generator.", max_length=64)
    count: int | None = Field(None, ge=1, le=MOST_SAMPLES, description="Images; null: by `images_per_class`.")
    classes: list[int | str] = Field(
        default_factory=list,
        max_length=10_000,
        description="Classes of a conditional generator to draw, by index or name, which take turns; empty: all.",
    )
    images_per_class: int | None = Field(
        None, ge=1, le=MOST_SAMPLES, description="Images of each class, in place of `count`."
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Null: drawn at random and recorded.")
    offset: int = Field(0, ge=0, le=MAX_SEED, description="First sample of the seed's stream.")
    class_index: int | None = Field(None, ge=0, le=1_000_000, description="A single class, in place of `classes`.")

    rejection: RejectionSpec | None = Field(
        None, description="Choose the images of a conditional generator by a classifier; null: take all."
    )

    @property
    def wanted_classes(self) -> list[int | str]:
        """Classes that take turns; empty for all."""
        return self.classes if self.class_index is None else [self.class_index]

    def images(self, classes: int) -> int:
        """Return how many images are drawn of so many classes."""
        return self.count if self.count is not None else (self.images_per_class or 0) * classes


def sample_set_id(job_id: str) -> str:
    """Return the id of the sample set that a `draw_samples` job makes."""
    return SAMPLES_PREFIX + job_id.partition("_")[2]


def _check(where: Submitting, spec: DrawSamplesSpec) -> list[Problem]:
    number = len(image_classes(where, spec.generator, spec.wanted_classes).indices)
    images = spec.images(number)
    problems = reference_problems(where, labels=None, generator=spec.generator, count=images)
    problems += _amount_problems(spec, number, images)
    problems += drawing_problems(where, spec.generator, spec)
    problems += rejection_problems(where, spec.generator, spec.rejection)
    return problems + image_class_problems(where, spec.generator, spec.classes)


def _amount_problems(spec: DrawSamplesSpec, number: int, images: int) -> list[Problem]:
    """Return contradictions between the fields that say how many images of which classes are drawn."""
    if (spec.count is None) == (spec.images_per_class is None):
        return [Problem("one of count and images_per_class is needed, and not both", "/count")]
    if spec.classes and spec.class_index is not None:
        return [Problem("classes and class_index exclude each other", "/class_index")]
    if spec.images_per_class is not None and not number:
        return [Problem("this generator draws from no classes; give count", "/images_per_class")]
    if images > MOST_SAMPLES:
        return [Problem(f"{images} images; at most {MOST_SAMPLES} at once", "/images_per_class")]
    return []


def _images(where: Submitting, spec: DrawSamplesSpec) -> int:
    return spec.images(len(image_classes(where, spec.generator, spec.wanted_classes).indices))


KIND = JobKind(
    "draw_samples",
    (StepPlan("draw_samples", "sample", title="drawing samples", counts_images=True),),
    DrawSamplesSpec,
    makes=Makes("samples", "sample-sets"),
    refusal="these samples cannot be drawn",
    check=_check,
    images=_images,
    result=lambda _spec, job_id: JobResult(samples=sample_set_id(job_id)),
)
