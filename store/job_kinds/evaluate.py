"""Job kind `evaluate`: held-out labels are read like any others, then networks are trained and compared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection, select

from store.database.clock import to_datetime
from store.errors import Problem
from store.job_kinds.labeling import VALIDATE
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, Makes, StepPlan, Submitting
from store.requests.base import MAX_SEED, JobSpec
from store.resources.dataset_reports import DatasetReport
from store.resources.reports import LabelSetReport
from store.tables import datasets, jobs, label_sets, uploads

#: Images that a dataset, and the labels that judge it, must have at least; the library refuses fewer.
LEAST_GENERATED, LEAST_HELD_OUT = 8, 2


class EvaluateSpec(JobSpec):
    """Evaluation of a dataset against held-out labels."""

    kind: Literal["evaluate"] = "evaluate"
    dataset: str = Field(description="A dataset that is ready (`ds_…`).", max_length=64)
    labels: str = Field(
        description="Labelled images that had no part in making it: an upload (`upl_…`) or a label set (`ls_…`).",
        max_length=64,
    )
    preset: Literal["small", "handsoff", "knowing_the_distance"] = Field(
        "small", description="How every net is trained: ours for small images, or a paper’s settings."
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Training steps of each net; null: the preset’s, more for larger datasets.",
    )
    repeats: int = Field(5, ge=1, le=100, description="Repeats of every arm; fewer than three prove little.")
    task: Literal["segmentation", "keypoints", "depth"] | None = Field(
        None, description="Which of the dataset’s labels are judged; null: the first of those that it has."
    )
    baselines: list[Literal["strong_augmentation", "from_scratch", "head_only", "fine_tuned", "frozen_features"]] = (
        Field(
            default=["strong_augmentation", "head_only", "frozen_features"],
            min_length=1,
            max_length=5,
            description="What the dataset has to beat, with the same labels; `strong_augmentation` is always among "
            "them. `head_only` and `fine_tuned` need published weights of the network’s trunk on the worker, "
            "`frozen_features` those of DINOv3 or DINOv2; the report states what is left out.",
        )
    )
    generated_labels: str | None = Field(
        None,
        max_length=64,
        description="Some of the dataset’s own images, labelled by people and named by their index (`000000012`): an "
        "upload or a label set. What a labeler learns from these is then one more thing to beat.",
    )
    seed: int = Field(0, ge=0, le=MAX_SEED)


def _check(where: Submitting, spec: EvaluateSpec) -> list[Problem]:
    connection, tenant, problems = where.connection, where.tenant, []
    row = connection.execute(
        select(datasets).where(datasets.c.id == spec.dataset, datasets.c.tenant == tenant)
    ).one_or_none()
    expires_at = to_datetime(row.expires_at) if row is not None else None
    if row is None:
        problems.append(Problem(f"no dataset {spec.dataset!r}", "/dataset"))
    elif row.deleted_at is not None:
        problems.append(Problem(f"the dataset {spec.dataset!r} was deleted", "/dataset"))
    elif row.state != "ready" or (expires_at is not None and expires_at <= datetime.now(UTC)):
        problems.append(Problem(f"the dataset {spec.dataset!r} is not complete", "/dataset"))
    elif (images := _delivered(row)) < LEAST_GENERATED:
        detail = f"the dataset {spec.dataset!r} has {images} images; at least {LEAST_GENERATED} are needed"
        problems.append(Problem(detail, "/dataset"))
    for field, labels in (("labels", spec.labels), ("generated_labels", spec.generated_labels)):
        if labels is not None and not _known_labels(connection, labels, tenant):
            problems.append(Problem(f"no finished upload or label set {labels!r}", f"/{field}"))
    if row is not None:
        problems += _judging_problems(connection, spec, row.job_id, tenant)
    return problems


def _delivered(row: Any) -> int:
    """Return the number of images of the dataset of a row."""
    count = DatasetReport.of(row.info).count
    return int(row.count) if count is None else count


def _judging_problems(connection: Connection, spec: EvaluateSpec, job_id: str, tenant: str) -> list[Problem]:
    """Problems of the labels that judge, as known before they are read: too few, or those that made the dataset.
    Single images that took part are found by the worker.
    """
    made_by = connection.execute(select(jobs.c.spec, jobs.c.result).where(jobs.c.id == job_id)).one()
    judging = _label_set_of(connection, spec.labels, tenant)
    same_set = judging is not None and judging == JobResult.of(made_by.result).label_set
    if same_set or _same_file(connection, spec.labels, str(made_by.spec.get("labels")), tenant):
        detail = f"{spec.labels!r} are the labels that the dataset was made from: images that took part cannot judge it"
        return [Problem(detail, "/labels")]
    if judging is None:
        return []
    mine = select(label_sets.c.info).where(label_sets.c.id == judging, label_sets.c.tenant == tenant)
    info = connection.execute(mine).scalar()
    images = LEAST_HELD_OUT if info is None else LabelSetReport.of(info).images
    if images < LEAST_HELD_OUT:
        return [
            Problem(f"{spec.labels!r} has {images} labelled image; at least {LEAST_HELD_OUT} are needed", "/labels")
        ]
    return []


def _label_set_of(connection: Connection, labels: str, tenant: str) -> str | None:
    """The label set itself, or the one that an earlier job made of an upload; None where no job has read it yet."""
    if not labels.startswith("upl_"):
        return labels
    read = select(jobs.c.result["label_set"].as_string()).where(
        jobs.c.tenant == tenant,
        jobs.c.spec["labels"].as_string() == labels,
        jobs.c.result["label_set"].as_string().is_not(None),
    )
    found: str | None = connection.execute(read.limit(1)).scalar()
    return found


def _same_file(connection: Connection, one: str, other: str, tenant: str) -> bool:
    """Whether two uploads are one, or hold the same bytes."""
    digests = select(uploads.c.sha256).where(uploads.c.id.in_((one, other)), uploads.c.tenant == tenant)
    found = list(connection.execute(digests).scalars())
    return one == other or (len(found) == 2 and found[0] == found[1])


def _known_labels(connection: Connection, labels: str, tenant: str) -> bool:
    made = select(label_sets.c.id).where(label_sets.c.id == labels, label_sets.c.tenant == tenant)
    sent = select(uploads.c.id).where(uploads.c.id == labels, uploads.c.tenant == tenant, uploads.c.state == "complete")
    return any(connection.execute(query).one_or_none() is not None for query in (made, sent))


KIND = JobKind(
    "evaluate",
    (VALIDATE, StepPlan("evaluate", "train", title="evaluating")),
    EvaluateSpec,
    makes=Makes("evaluation", "evaluations"),
    refusal="the dataset cannot be evaluated like this",
    check=_check,
    result=lambda spec, job_id: JobResult(dataset=spec.dataset, evaluation=job_id),
)
