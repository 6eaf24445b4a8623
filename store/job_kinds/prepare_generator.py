"""Job kind `prepare_generator`: a perceptual network and an encoder for a generator, which become its defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.errors import NotFound, Problem
from store.job_kinds.checks import inversion_problems, perceptual_problems, reference_problems
from store.job_kinds.preparing import PREPARATION
from store.jobs.kinds import JobKind, Makes, Submitting
from store.requests.base import JobSpec
from store.requests.preparation import PreparationSpec
from store.resources.generators import Generator
from store.resources.image_sets import find_image_set, image_set_names


class PrepareGeneratorSpec(PreparationSpec, JobSpec):
    """A generator, prepared for labelled images."""

    kind: Literal["prepare_generator"] = "prepare_generator"
    generator: str = Field(description="Name or id of a generator of the caller's own.", max_length=64)


def _check(where: Submitting, spec: PrepareGeneratorSpec) -> list[Problem]:
    problems = reference_problems(where, labels=None, generator=spec.generator, count=None)
    problems += inversion_problems(where, spec.generator)
    asked, found = spec.preparation, where.generator(spec.generator)
    if not asked.perceptual and not asked.encoder:
        problems.append(Problem("nothing to do: ask for a perceptual network, an encoder or both", "/preparation"))
    if found is not None and found.builtin:
        detail = f"{found.name} comes with the service, with a perceptual network and an encoder of its own"
        problems.append(Problem(detail, "/generator"))
    if asked.images is not None:
        problems += _image_problems(where, asked.images, found)
    if found is not None and not found.builtin and not asked.perceptual:
        problems += perceptual_problems(where, spec.generator)
    return problems


def _image_problems(where: Submitting, name: str, generator: Generator | None) -> list[Problem]:
    pointer = "/preparation/images"
    try:
        images = find_image_set(where.connection, name, tenant=where.tenant)
    except NotFound:
        known = ", ".join(image_set_names(where.connection, tenant=where.tenant)) or "none"
        return [Problem(f"no image set {name!r}; known: {known}", pointer)]
    if generator is None or images.height * generator.width == images.width * generator.height:
        return []
    expected = f"expected images of the generator's shape, {generator.height}×{generator.width} (height × width)"
    return [Problem(f"{expected}, or larger or smaller; found {images.height}×{images.width}", pointer)]


KIND = JobKind(
    "prepare_generator",
    PREPARATION,
    PrepareGeneratorSpec,
    makes=Makes("generator", "generators"),
    refusal="the generator cannot be prepared like this",
    check=_check,
)
