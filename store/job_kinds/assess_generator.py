"""Job kind `assess_generator`: a quality report of a generator, by held-out images of an image set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import NotFound, Problem
from store.job_kinds.checks import drawing_problems, reference_problems
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.requests.base import JobSpec, did_you_mean
from store.requests.generator_assessment import GeneratorAssessment
from store.resources.image_sets import find_image_set, image_set_names

#: Held-out images below which no distance to them means anything.
FEWEST_HELD_OUT = 10


class AssessGeneratorSpec(GeneratorAssessment, JobSpec):
    """Quality report of a generator: distances to held-out images, and memorisation of training images."""

    kind: Literal["assess_generator"] = "assess_generator"
    generator: str = Field(description="Name or id of a generator.", max_length=64)


def _check(where: Submitting, spec: AssessGeneratorSpec) -> list[Problem]:
    problems = reference_problems(where, labels=None, generator=spec.generator, count=spec.count)
    problems += drawing_problems(where, spec.generator, spec)
    return problems + _image_problems(where, spec)


def _image_problems(where: Submitting, spec: AssessGeneratorSpec) -> list[Problem]:
    try:
        images = find_image_set(where.connection, spec.images, tenant=where.tenant)
    except NotFound:
        known = image_set_names(where.connection, tenant=where.tenant)
        return [Problem(f"no image set {spec.images!r}; {did_you_mean(spec.images, known)}", "/images")]
    problems, held_out = [], images.facts.held_out
    if held_out < FEWEST_HELD_OUT:
        problems.append(
            Problem(f"{held_out} held-out images; at least {FEWEST_HELD_OUT} are needed to compare with", "/images")
        )
    generator = where.generator(spec.generator)
    if generator is not None and (images.height, images.width) != (generator.height, generator.width):
        detail = (
            f"images of {images.width} x {images.height} pixels (width x height), and the generator draws "
            f"{generator.width} x {generator.height}; add the photographs at that size as another image set"
        )
        problems.append(Problem(detail, "/images"))
    return problems


KIND = JobKind(
    "assess_generator",
    (StepPlan("assess_generator", "train", title="assessing generator"),),
    AssessGeneratorSpec,
    makes=Makes("generator", "generators"),
    refusal="this generator cannot be assessed like this",
    check=_check,
    result=lambda spec, _job_id: JobResult(generator=spec.generator),
)
