"""Job kind `generate`: labelled images and a generator → a labelled dataset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from contracts.candidates import PILOT
from store.errors import Problem
from store.ids import new_id
from store.job_kinds.checks import composition_problems, labeling_problems, per_class_problems, rejection_problems
from store.job_kinds.generate_estimate import candidates, dataset_bytes
from store.job_kinds.generate_shards import first_shard
from store.job_kinds.labeling import INVERT, TRAIN_LABELER, VALIDATE
from store.jobs.job_result import DatasetBegun, JobResult
from store.jobs.kinds import JobKind, Makes, SizeEstimate, StepPlan, Submitting
from store.jobs.shards import ShardPlan
from store.requests.base import ALIAS, MAX_SEED
from store.requests.composition import ClassDemandSpec
from store.requests.labeler import LabelingSpec
from store.requests.sampling import RejectionSpec
from store.resources.datasets import add_dataset
from store.settings import WorkerSettings
from store.tenancy.tenants import limits_of

#: An absolute ceiling; the deployment's own limit (`limits.images_per_job`) is usually lower.
MAX_COUNT = 100_000_000
#: Candidates drawn for an image delivered, at most.
CANDIDATES_PER_IMAGE = 10
#: Typical seconds, as those of `store.job_kinds.labeling`: of one image drawn, labelled and encoded, and of the end.
_SAMPLE, _FINALIZE = 0.06, 5.0


class GenerateSpec(LabelingSpec):
    """One call from labelled images to a labelled dataset."""

    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["generate"] = "generate"
    count: int = Field(ge=1, le=MAX_COUNT, description="Images delivered, after filtering.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Null: drawn at random and recorded.")
    fresh: bool = Field(
        False, description="Every run of this spec is to draw new data: refuses a seed, which would repeat them."
    )
    alias: Annotated[str, StringConstraints(pattern=ALIAS)] | None = Field(
        None, description="A name, `latest` for example, that points at the dataset once the job has succeeded."
    )
    offset: int = Field(0, ge=0, le=MAX_SEED, description="First sample of the seed's stream.")
    drop_fraction: float = Field(0.1, ge=0.0, le=0.9, description="Most uncertain part that is dropped.")
    drop_per_class: bool = Field(
        True,
        description="No class loses a larger part than the whole does, so that rare and therefore uncertain ones stay. "
        "False: the most uncertain go, whatever they show, as in the paper.",
    )
    composition: list[ClassDemandSpec] = Field(
        default_factory=list,
        max_length=64,
        description="What the dataset has to show. How often the generator draws it is looked at first; more images "
        "are drawn where it is short, and the job fails with the numbers where `max_candidates` cannot meet it.",
    )
    max_uncertainty: float | None = Field(
        None, ge=0.0, description="Images of a higher uncertainty are not delivered; others are drawn for them."
    )
    allow_partial: bool = Field(
        False,
        description="Deliver fewer images where some cannot be made after all attempts; otherwise the job fails then, "
        "and can be resumed.",
    )
    max_candidates: int | None = Field(
        None,
        ge=1,
        le=CANDIDATES_PER_IMAGE * MAX_COUNT,
        description="Images drawn at most, for `composition` and `max_uncertainty`; null: ten times `count`.",
    )
    classes: list[int | str] = Field(
        default_factory=list,
        max_length=10_000,
        description="Classes of a conditional generator to draw, by index or name, in equal parts; empty: all.",
    )
    images_per_class: int | None = Field(
        None,
        ge=1,
        le=MAX_COUNT,
        description="So many images of each class at least: more are drawn where the filter leaves fewer, and the job "
        "fails with the numbers where `max_candidates` cannot meet it. Null: equal parts as far as the filter allows.",
    )
    rejection: RejectionSpec | None = Field(
        None, description="Choose the images of a conditional generator by a classifier; null: take all."
    )
    images_per_shard: int = Field(1000, ge=1, le=100_000, description="Images in one file of the dataset.")

    @field_validator("fresh")
    @classmethod
    def _without_a_seed(cls, fresh: bool, info: ValidationInfo) -> bool:
        if fresh and info.data.get("seed") is not None:
            raise PydanticCustomError("fresh_and_seed", "fresh and a seed exclude each other")
        return fresh


def first_candidates(spec: GenerateSpec) -> int:
    """Return how many candidates to draw first: all that the filter needs, unless the content of the first ones
    decides how many.
    """
    usual = candidates(spec.count, spec.drop_fraction)
    return min(usual, PILOT) if spec.composition or spec.max_uncertainty is not None else usual


def _plan_samples(spec: GenerateSpec, worker: WorkerSettings) -> tuple[ShardPlan, ...]:
    return (first_shard(spec.offset, spec.offset + first_candidates(spec), worker.batch, worker),)


def _check(where: Submitting, spec: GenerateSpec) -> list[Problem]:
    problems = labeling_problems(where, spec, count=spec.count)
    problems += rejection_problems(where, spec.generator, spec.rejection)
    problems += per_class_problems(where, spec.generator, spec.classes, spec.images_per_class, spec.count)
    return problems + composition_problems(where, spec.composition, spec) + _bound_problems(where, spec)


def _bound_problems(where: Submitting, spec: GenerateSpec) -> list[Problem]:
    """Return a `max_candidates` that cannot be kept."""
    if spec.max_candidates is None:
        return []
    least = candidates(spec.count, spec.drop_fraction)
    allowed = limits_of(where.connection, where.db.settings.limits, where.tenant)["images_per_job"]
    most = CANDIDATES_PER_IMAGE * allowed
    if least <= spec.max_candidates <= most:
        return []
    return [Problem(f"from {least}, which count and drop_fraction need, to {most}", "/max_candidates")]


def _add_dataset(where: Submitting, spec: GenerateSpec, job_id: str, result: JobResult) -> None:
    dataset = DatasetBegun.of(result.to_json()).dataset
    add_dataset(where.connection, dataset, tenant=where.tenant, job_id=job_id, count=spec.count)


def _size(where: Submitting, spec: GenerateSpec) -> SizeEstimate:
    size = dataset_bytes(where.connection, spec.generator, spec.count, tenant=where.tenant)
    return SizeEstimate(spec.count, candidates(spec.count, spec.drop_fraction), size)


KIND = JobKind(
    "generate",
    (
        VALIDATE,
        INVERT,
        TRAIN_LABELER,
        StepPlan(
            "sample",
            "sample",
            title="generating",
            fan_out=True,
            plan=_plan_samples,
            counts_images=True,
            typical=lambda _spec, size: _SAMPLE * size.total,
        ),
        StepPlan("finalize", "cpu", title="finishing", typical=lambda _spec, _size: _FINALIZE),
    ),
    GenerateSpec,
    makes=Makes("dataset", "datasets"),
    check=_check,
    images=lambda _where, spec: candidates(spec.count, spec.drop_fraction),
    result=lambda _spec, _job_id: JobResult(dataset=new_id("ds")),
    prepare=_add_dataset,
    size=_size,
)
