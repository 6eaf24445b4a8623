"""Job kind `add_images`: photographs, packed at one size into an image set that generators are trained on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import Connection, select

from store.errors import NotFound, Problem
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.jobs.states import ACTIVE_JOB_STATES
from store.requests.base import MAX_SEED, JobSpec
from store.resources.image_sets import find_image_set
from store.tables import jobs
from store.uploads.files import upload_missing

#: Pixels of a side.
SMALLEST, LARGEST = 8, 1024
ImageSetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]


class AddImagesSpec(JobSpec):
    """Photographs without labels, to become an image set."""

    kind: Literal["add_images"] = "add_images"
    source: str = Field(
        min_length=1,
        max_length=64,
        description="A finished upload (`upl_…`): a zip or tar archive of photographs in folders, a WebDataset tar, or "
        "a parquet file.",
    )
    name: ImageSetName = Field(
        description="What the image set will be called: lower-case letters, digits, `.` and `-`."
    )
    height: int = Field(ge=SMALLEST, le=LARGEST, description="Height of all images, in pixels.")
    width: int = Field(ge=SMALLEST, le=LARGEST, description="Width of all images, in pixels.")
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        description="How images of another shape are brought to the size: the largest centred window, all of it with "
        "grey borders, or all of it with its shape changed. Label images for the generator by the same rule.",
    )
    flips: bool | None = Field(
        None,
        description="Whether a training may mirror images left to right. Null: true, unless the name of a class has "
        "the word left or right.",
    )
    classes: Literal["folders", "none"] = Field(
        "folders",
        description="`folders`: images in several folders have the folder as their class; those of a WebDataset or a "
        "parquet file the class that stands there. `none`: images have no classes.",
    )
    imbalance: float | None = Field(
        None,
        gt=1,
        le=1_000_000,
        description="Keep an exponential long tail of the classes: class c of K, in order, keeps "
        "n · imbalance^(-c / (K - 1)) of its images, n being the size of the largest. Null: all images.",
    )
    licence: str = Field(
        "",
        max_length=10_000,
        description="Licence of the images; empty: the text of a LICENSE or README in the archive.",
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Of the images that are held out, or left out by imbalance.")


def image_set_problems(where: Submitting, name: str, pointer: str = "/name") -> list[Problem]:
    """Return why no new image set can have this name, or nothing."""
    try:
        find_image_set(where.connection, name, tenant=where.tenant)
        return [Problem(f"there is an image set {name!r} already", pointer)]
    except NotFound:
        pass
    job = _adding(where.connection, name, where.tenant)
    return [Problem(f"{job} is adding an image set {name!r}", pointer)] if job else []


def _adding(connection: Connection, name: str, tenant: str) -> str | None:
    same = select(jobs.c.id).where(
        jobs.c.tenant == tenant,
        jobs.c.kind == "add_images",
        jobs.c.state.in_(ACTIVE_JOB_STATES),
        jobs.c.spec["name"].as_string() == name,
    )
    found: str | None = connection.execute(same.limit(1)).scalar()
    return found


def _check(where: Submitting, spec: AddImagesSpec) -> list[Problem]:
    problems = image_set_problems(where, spec.name)
    missing = upload_missing(where.connection, spec.source, tenant=where.tenant)
    problems += [Problem(missing, "/source")] if missing else []
    if spec.imbalance is not None and spec.classes == "none":
        problems.append(Problem("needs classes: leave it out, or leave `classes` at `folders`", "/imbalance"))
    return problems


KIND = JobKind(
    "add_images",
    (StepPlan("add_images", "cpu", title="packing images"),),
    AddImagesSpec,
    makes=Makes("image_set", "image-sets"),
    refusal="the images cannot be added like this",
    check=_check,
)
