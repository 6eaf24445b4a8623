"""What a dataset is worth: evaluations, each made by a job of its own and known by that job's id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Unpack, cast

from sqlalchemy import Connection, select

from store.database.clock import to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import InvalidRequest, NotFound, NotReady, Problem
from store.jobs.kinds import EVALUATE
from store.jobs.submit import Asked, Submission, submit_job
from store.resources.files import File, get_file
from store.specs import EvaluateSpec
from store.tables import datasets, files, jobs, label_sets, uploads

#: Evaluations stand among their dataset's files, and go when it goes.
FOLDER = "evaluations/"
#: Images that a dataset, and the labels that judge it, must have at least; the library refuses fewer.
LEAST_GENERATED, LEAST_HELD_OUT = 8, 2
REPORT_JSON, REPORT_HTML = "report.json", "report.html"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`id` and `state` are those of the job. `finished`: whether its report is there."""

    id: str
    dataset: str
    state: str
    spec: dict[str, Any]
    finished: bool
    created_at: datetime


def evaluation_file(evaluation_id: str, name: str) -> str:
    """The name of an evaluation's file among its dataset's files."""
    return f"{FOLDER}{evaluation_id}/{name}"


def submit_evaluation(db: Database, spec: EvaluateSpec, **asked: Unpack[Asked]) -> Submission:
    """Accept an `evaluate` job. Raises InvalidRequest with every problem found, QuotaExceeded, IdempotencyMismatch."""
    return submit_job(
        db,
        EVALUATE,
        spec=spec.model_dump(mode="json"),
        seed=spec.seed,
        total=0,
        check=lambda connection: _check(connection, spec, asked["tenant"]),
        result=lambda job_id: {"dataset": spec.dataset, "evaluation": job_id},
        **asked,
    )


def get_evaluation(db: Database, evaluation_id: str, *, tenant: str) -> Evaluation:
    """One evaluation. Raises NotFound."""
    query = select(jobs).where(jobs.c.id == evaluation_id, jobs.c.tenant == tenant, jobs.c.kind == EVALUATE.name)
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(f"no evaluation {evaluation_id!r}")
        return _evaluation(connection, row)


def list_evaluations(
    db: Database,
    *,
    tenant: str,
    dataset: str | None = None,
    page_size: int = DEFAULT_PAGE,
    page_token: str | None = None,
) -> Page[Evaluation]:
    """Evaluations, newest first; of one dataset alone where it is given. Raises InvalidRequest for a bad token."""
    query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.kind == EVALUATE.name)
    if dataset is not None:
        query = query.where(jobs.c.spec["dataset"].as_string() == dataset)
    with db.read() as connection:
        return page(
            connection,
            query,
            jobs,
            lambda row: _evaluation(connection, row),
            page_size=page_size,
            page_token=page_token,
        )


def get_report(db: Database, evaluation_id: str, name: str, *, tenant: str) -> File:
    """A file of an evaluation. Raises NotFound, NotReady while it is being made or when it failed."""
    found = get_evaluation(db, evaluation_id, tenant=tenant)
    try:
        return get_file(db, found.dataset, evaluation_file(evaluation_id, name), tenant=tenant)
    except NotFound:
        raise NotReady(f"{evaluation_id} is {found.state} and has no report; see /v1/jobs/{evaluation_id}") from None


def _check(connection: Connection, spec: EvaluateSpec, tenant: str) -> None:
    problems = []
    row = connection.execute(
        select(datasets).where(datasets.c.id == spec.dataset, datasets.c.tenant == tenant)
    ).one_or_none()
    expires_at = to_datetime(row.expires_at) if row is not None else None
    if row is None:
        problems.append(Problem(f"no dataset {spec.dataset!r}", "/dataset"))
    elif row.deleted_at is not None:
        problems.append(Problem(f"the dataset {spec.dataset!r} was deleted", "/dataset"))
    elif row.state != "ready" or (expires_at is not None and expires_at <= datetime.now(UTC)):
        problems.append(Problem(f"the dataset {spec.dataset!r} is not there as a whole", "/dataset"))
    elif (images := row.info.get("count", row.count)) < LEAST_GENERATED:
        detail = f"the dataset {spec.dataset!r} has {images} images; at least {LEAST_GENERATED} are needed"
        problems.append(Problem(detail, "/dataset"))
    for field, labels in (("labels", spec.labels), ("generated_labels", spec.generated_labels)):
        if labels is not None and not _known_labels(connection, labels, tenant):
            problems.append(Problem(f"no finished upload or label set {labels!r}", f"/{field}"))
    if row is not None:
        problems += _judging_problems(connection, spec, row.job_id, tenant)
    if problems:
        raise InvalidRequest("the dataset cannot be evaluated like this", problems)


def _judging_problems(connection: Connection, spec: EvaluateSpec, job_id: str, tenant: str) -> list[Problem]:
    """What is known of the labels that judge before they are read: too few, or the very ones that made the dataset.
    Single images that took part are found by the worker.
    """
    made_by = connection.execute(select(jobs.c.spec, jobs.c.result).where(jobs.c.id == job_id)).one()
    judging = _label_set_of(connection, spec.labels, tenant)
    same_set = judging is not None and judging == made_by.result.get("label_set")
    if same_set or _same_file(connection, spec.labels, str(made_by.spec.get("labels")), tenant):
        detail = f"{spec.labels!r} are the labels that the dataset was made from: images that took part cannot judge it"
        return [Problem(detail, "/labels")]
    if judging is None:
        return []
    mine = select(label_sets.c.info).where(label_sets.c.id == judging, label_sets.c.tenant == tenant)
    images = (connection.execute(mine).scalar() or {}).get("images", LEAST_HELD_OUT)
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


def _evaluation(connection: Connection, row: Any) -> Evaluation:
    dataset = str(row.spec["dataset"])
    name = evaluation_file(row.id, REPORT_JSON)
    found = connection.execute(select(files.c.key).where(files.c.resource_id == dataset, files.c.name == name)).first()
    created = cast(datetime, to_datetime(row.created_at))
    return Evaluation(row.id, dataset, row.state, row.spec, found is not None, created)
