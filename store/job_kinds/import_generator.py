"""Job kind `import_generator`: a checkpoint made elsewhere, fetched, read and stored in our form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import Connection

from contracts.sampling_settings import Setting
from store.database.database import Database
from store.egress import check_url
from store.errors import EgressRefused, Problem
from store.job_kinds.checks import generator_name_problems
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.requests.base import JobSpec, Spec
from store.resources.catalogue import catalogue
from store.uploads.files import upload_missing


class CheckpointAnswers(Spec):
    """Facts that a checkpoint does not contain; where it contains one, both must agree."""

    network: str | None = Field(
        None, max_length=64, description="Which of several generators in the file; null: the averaged one."
    )
    mapping_lr_multiplier: float | None = Field(None, gt=0, le=1000)
    conv_clamp: float | None = Field(None, ge=0, description="0: no clamping.")
    norm_eps: float | None = Field(None, gt=0, lt=1, description="BigGAN: eps of the norm layers (`BN_eps`).")
    spectral_eps: float | None = Field(None, gt=0, lt=1, description="BigGAN: eps of the spectral norm (`SN_eps`).")
    spectral_iterations: int | None = Field(
        None, ge=1, le=100, description="BigGAN: power iterations of a training step (`num_G_SV_itrs`)."
    )
    standing_statistics: bool | None = Field(
        None, description="BigGAN: whether batch-norm statistics are sums to divide by their counter."
    )
    depth: int | None = Field(None, ge=1, le=16, description="BigGAN-deep: blocks of one resolution (`G_depth`).")
    heads: int | None = Field(None, ge=1, le=256, description="VQGAN: heads of the transformer's attention (`n_head`).")
    classes: int | None = Field(None, ge=1, le=32768, description="VQGAN: number of classes of its training data.")
    resolution: int | None = Field(
        None, ge=1, le=4096, description="VQGAN: side of the images that it was trained on, in pixels."
    )


class ImportGeneratorSpec(JobSpec):
    """A checkpoint made elsewhere, to become a generator."""

    kind: Literal["import_generator"] = "import_generator"
    source: str = Field(
        min_length=1,
        max_length=2000,
        description="A finished upload (`upl_…`), an https URL, or a name of the catalogue.",
    )
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")] = Field(
        description="What the generator will be called: lower-case letters, digits, `.` and `-`."
    )
    licence: str = Field("", max_length=500, description="Licence of the checkpoint; files do not contain it.")
    domain: str = Field("", max_length=200, description="What it draws, in a few words.")
    classes: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=10_000, description="Names of the classes, in the order of its class vector."
    )
    sampling: dict[str, Setting] = Field(
        default_factory=dict,
        max_length=64,
        description="Defaults of the generator's sampling settings, by name, where they are not those of its family.",
    )
    answers: CheckpointAnswers = CheckpointAnswers()


def is_url(source: str) -> bool:
    """Whether a source is a URL, rather than an upload or a name of the catalogue."""
    return "://" in source


def is_upload(source: str) -> bool:
    """Whether a source is an upload."""
    return source.startswith("upl_")


def source_problems(connection: Connection, db: Database, source: str, tenant: str) -> list[Problem]:
    """Return why a file cannot be fetched from a source, or nothing."""
    if is_url(source):
        try:
            check_url(source, trusted_hosts=db.settings.egress.trusted_hosts)
        except EgressRefused as error:
            return [Problem(error.detail, "/source")]
        return []
    if is_upload(source):
        why_not = upload_missing(connection, source, tenant=tenant)
        return [Problem(why_not, "/source")] if why_not else []
    if source not in catalogue():
        return [Problem(f"no checkpoint {source!r} in the catalogue; known: {', '.join(catalogue())}", "/source")]
    return []


def _check(where: Submitting, spec: ImportGeneratorSpec) -> list[Problem]:
    problems = generator_name_problems(where, spec.name)
    return problems + source_problems(where.connection, where.db, spec.source, where.tenant)


KIND = JobKind(
    "import_generator",
    (StepPlan("import_generator", "cpu", title="importing"),),
    ImportGeneratorSpec,
    makes=Makes("generator", "generators"),
    refusal="the checkpoint cannot be imported like this",
    check=_check,
)
