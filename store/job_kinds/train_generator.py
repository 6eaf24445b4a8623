"""Job kind `train_generator`: a generator of the caller's own domain, from an image set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints, WithJsonSchema

from contracts.generator_training import TRAINABLE, TrainableFamily, training_violations
from contracts.generator_training.images import ImageFacts
from contracts.sampling_settings import Violation
from store.errors import NotFound, Problem
from store.job_kinds.checks import generator_name_problems, reference_problems
from store.job_kinds.preparing import PREPARATION
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting, TypicalSize
from store.requests.base import MAX_SEED, JobSpec
from store.requests.preparation import PreparationSpec
from store.resources.descriptions import described
from store.resources.generators import Generator
from store.resources.image_sets import ImageSet, find_image_set, image_set_names

GeneratorName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
#: The setting that a field of the request takes the place of.
_BUDGET = "kimg"


def _settings_schema() -> dict[str, Any]:
    """JSON Schema of the settings in a request: those of the families without the budget."""
    schemas = [family.schema for family in TRAINABLE.values()]
    for schema in schemas:
        del schema["properties"][_BUDGET]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


Settings = Annotated[dict[str, JsonValue], WithJsonSchema(_settings_schema())]


class TrainGeneratorSpec(PreparationSpec, JobSpec):
    """A generator to be trained on unlabelled images, and prepared for labelled ones."""

    kind: Literal["train_generator"] = "train_generator"
    images: str = Field(max_length=64, description="Name or id of an image set; its size is that of the generator.")
    name: GeneratorName = Field(
        description="What the generator will be called: lower-case letters, digits, `.` and `-`."
    )
    family: str = Field("stylegan2", max_length=64, description="Architecture of the generator.")
    preset: str = Field(
        "small",
        max_length=64,
        description="Settings by name: `small` (narrow networks, for thousands of images and hours without an "
        "accelerator), `default` (networks of the papers' width), and the experiments of NoisyTwins.",
    )
    settings: Settings = Field(
        default_factory=dict, max_length=100, description="Settings in place of the preset's, by name."
    )
    kimg: float | None = Field(
        None, gt=0, le=1_000_000, description="Budget in thousands of images; null: that of the preset, or `hours`."
    )
    hours: float | None = Field(None, gt=0, le=10_000, description="Budget in hours of training, pauses not counted.")
    generator: str | None = Field(
        None,
        max_length=64,
        description="Name or id of a generator to train on from, of the images' size or that divided by a power of "
        "two; null: begin with random weights.",
    )
    licence: str = Field("", max_length=10_000, description="Licence of the generator; empty: that of its images.")
    domain: str = Field("", max_length=200, description="What it draws, in a few words.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Null: drawn at random and recorded.")

    def training_settings(self, flips: bool) -> dict[str, Any]:
        """Return all settings of the training, as JSON values. flips: whether the images may be mirrored, which holds
        where the request does not set it.
        """
        preset = TRAINABLE[self.family].presets[self.preset]
        values = {**preset, **({"flip": True} if flips and self.preset in _MIRRORED else {}), **self.settings}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


#: Presets of ours, which leave mirror images to the image set; the others state it.
_MIRRORED = ("small", "default")


def _check(where: Submitting, spec: TrainGeneratorSpec) -> list[Problem]:
    problems = generator_name_problems(where, spec.name)
    if spec.kimg is not None and spec.hours is not None:
        problems.append(Problem("expected a budget in images or in hours, found both", "/hours"))
    if _BUDGET in spec.settings:
        problems.append(Problem("expected the budget in the field `kimg` of the request", f"/settings/{_BUDGET}"))
    wrong = training_violations(spec.family, spec.preset, spec.settings)
    problems += [_problem(one) for one in wrong]
    images = _images(where, spec)
    if images is None:
        known = ", ".join(image_set_names(where.connection, tenant=where.tenant)) or "none"
        problems.append(Problem(f"no image set {spec.images!r}; known: {known}", "/images"))
    elif spec.family in TRAINABLE and spec.preset in TRAINABLE[spec.family].presets and not wrong:
        problems += [_problem(one) for one in _image_violations(images, spec, TRAINABLE[spec.family])]
    if spec.generator is not None:
        problems += reference_problems(where, labels=None, generator=spec.generator, count=None)
        start = where.generator(spec.generator)
        problems += [] if start is None else _start_problems(start, spec, images)
    return problems


def _images(where: Submitting, spec: TrainGeneratorSpec) -> ImageSet | None:
    try:
        return find_image_set(where.connection, spec.images, tenant=where.tenant)
    except NotFound:
        return None


def _image_violations(images: ImageSet, spec: TrainGeneratorSpec, family: TrainableFamily) -> list[Violation]:
    held_out = images.facts.held_out
    facts = ImageFacts(images.height, images.width, images.images - held_out, held_out, images.classes, images.flips)
    return family.image_violations(facts, family.configured(spec.preset, spec.training_settings(images.flips)))


def _start_problems(start: Generator, spec: TrainGeneratorSpec, images: ImageSet | None) -> list[Problem]:
    """Return why a generator cannot be trained on from."""
    problems, family = [], described(start.info).family
    if family != spec.family:
        problems.append(Problem(f"expected a generator of the family {spec.family}, found {family}", "/generator"))
    if images is not None and not _grows(start.height, start.width, images):
        found = f"{start.height}x{start.width}"
        detail = f"expected images of {found} or that times a power of two, found {images.height}x{images.width}"
        problems.append(Problem(f"{detail}; pack the images at that size", "/images"))
    return problems


def _grows(height: int, width: int, images: ImageSet) -> bool:
    factor = images.height // height
    return (
        (height * factor, width * factor) == (images.height, images.width) and factor > 0 and not factor & (factor - 1)
    )


def _problem(found: Violation) -> Problem:
    field = found.name in ("family", "preset", "images")
    return Problem(found.detail, f"/{found.name}" if field else f"/settings/{found.name}")


def _typical_seconds(spec: Mapping[str, Any], _size: TypicalSize) -> float | None:
    """Return the budget; where it is a number of images the time is known once the worker has measured its pace."""
    hours = spec.get("hours")
    return None if hours is None else float(hours) * 3600


KIND = JobKind(
    "train_generator",
    (StepPlan("train_generator", "train", title="training generator", typical=_typical_seconds), *PREPARATION),
    TrainGeneratorSpec,
    makes=Makes("generator", "generators"),
    refusal="the generator cannot be trained like this",
    check=_check,
)
