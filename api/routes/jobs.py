"""Jobs: started, listed, looked at, cancelled."""

from hashlib import sha256
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Body, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from api.accepted import RETRY_AFTER, accepted, job_accepted
from api.backend import Db
from api.idempotency import IdempotencyHeader, key_of
from api.job_requests import SUBMIT, JobRequest, JobRoute
from api.paging import Moment, PageSize, PageToken
from api.prefer import PreferHeader, seconds_to_wait
from api.problems import documented
from api.ranges import matches
from api.schemas.base import ListOf
from api.schemas.jobs import Estimate, Job, JobKind, JobState, job_document
from api.tenancy import Tenant
from store.db import Database
from store.idempotency import IdempotencyKey
from store.jobs import cancel, resume, submit, views
from store.jobs.forecast import forecast
from store.spec import Spec
from store.specs import GenerateSpec

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=JobRoute)

POLL_SECONDS = 0.2
EXAMPLES: dict[str, Any] = {
    "short": {
        "summary": "What has to be said",
        "value": {"kind": "generate", "labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "generator": "heads64", "count": 200},
    },
    "full": {
        "summary": "More of what can be said",
        "value": {
            "kind": "generate",
            "labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b",
            "generator": "heads64",
            "count": 200,
            "seed": 1,
            "truncation_psi": 0.7,
            "drop_fraction": 0.1,
            "labeler": {"preset": "fast"},
            "labels_map": {"project": "heads"},
        },
    },
    "labeler": {
        "summary": "A labeler alone, judged",
        "value": {"kind": "train_labeler", "labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "generator": "heads64"},
    },
}
JOB_OR_ESTIMATE = accepted("The job, which goes on.") | {
    200: {"description": "The job, at its end within `Prefer: wait`; or the estimate.", "model": Job | Estimate},
}
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since `If-None-Match`."}}
CANCELED: dict[int | str, dict[str, Any]] = {
    200: {"description": "It was ending or had ended already.", "model": Job},
    202: {"description": "It will stop within one batch.", "model": Job},
}


@router.post(
    "",
    status_code=202,
    response_model=None,
    responses=JOB_OR_ESTIMATE | documented(400, 409, 413, 415, 422, 429, 507),
)
async def create_job(
    spec: Annotated[JobRequest, Body(openapi_examples=EXAMPLES)],
    request: Request,
    db: Db,
    tenant: Tenant,
    validate_only: Annotated[
        bool, Query(description="Start nothing; say what it would be, or all that is wrong.")
    ] = False,
    idempotency_key: IdempotencyHeader = None,
    prefer: PreferHeader = None,
) -> Response:
    """Start a job. Unless `kind` says otherwise, `generate`: turn labelled images into a labelled dataset; trains a
    labeler unless an equal one is there, then generates. Any other kind takes what a POST on its own resource takes.

    The body may also be YAML (`application/yaml`), for a spec that lives in a repository.
    """
    if validate_only:
        estimate = await run_in_threadpool(_estimate, db, tenant, spec)
        return JSONResponse(estimate.model_dump(mode="json"))
    key = key_of(idempotency_key, request, spec)
    answer = await run_in_threadpool(_submit, db, tenant, spec, request.state.request_id, key)
    if wait := seconds_to_wait(prefer):
        return await _ended_or_not(db, tenant, answer, wait)
    return answer


@router.get("", responses=documented(422))
def list_jobs(
    db: Db,
    tenant: Tenant,
    page_size: PageSize = 50,
    page_token: PageToken = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[JobKind | None, Query(description="Only jobs of this kind.")] = None,
    label: Annotated[
        str | None, Query(pattern=r"^[^=]+=", max_length=320, description="Only jobs with this label: `name=value`.")
    ] = None,
    created_after: Annotated[
        Moment | None, Query(description="Only jobs made after this moment, with its time zone.")
    ] = None,
) -> ListOf[Job]:
    """Jobs, newest first."""
    page = views.list_jobs(
        db,
        tenant=tenant,
        state=state,
        kind=kind,
        label=_label(label) if label else None,
        created_after=created_after,
        page_size=page_size,
        page_token=page_token,
    )
    return ListOf(items=[job_document(job) for job in page.items], next_page_token=page.next_page_token)


@router.get(
    "/{job_id}",
    response_model=Job,
    responses=UNCHANGED | documented(404, 422),
)
def get_job(
    job_id: str,
    db: Db,
    tenant: Tenant,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an earlier answer.")] = None,
) -> Response:
    """One job. Ask again with `If-None-Match`: a job that has not changed costs nothing."""
    job = views.job_view(db, job_id, tenant=tenant)
    body = job_document(job).model_dump_json().encode()
    headers = {"ETag": f'"{sha256(body).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    if not job.terminal:
        headers["Retry-After"] = RETRY_AFTER
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    response_model=Job,
    responses=CANCELED | documented(404, 422, 507),
)
def cancel_job(job_id: str, db: Db, tenant: Tenant) -> Response:
    """Stop a job. What is finished of its dataset stays readable. Repeating it changes nothing."""
    done = cancel.cancel_job(db, job_id, tenant=tenant)
    status = 202 if done.accepted else 200
    return JSONResponse(job_document(done.job).model_dump(mode="json"), status)


@router.post("/{job_id}/resume", status_code=202, responses=documented(404, 409, 410, 422, 429, 507))
def resume_job(job_id: str, db: Db, tenant: Tenant) -> Job:
    """Try again what failed; everything that is finished stays. A job that waits or runs is left as it is."""
    return job_document(resume.resume_job(db, job_id, tenant=tenant))


def _submit(db: Database, tenant: str, spec: Spec, request_id: str, key: IdempotencyKey | None) -> JSONResponse:
    made = SUBMIT[type(spec)](db, spec, tenant=tenant, request_id=request_id, idempotency_key=key)
    return job_accepted(db, tenant, made, key)


async def _ended_or_not(db: Database, tenant: str, answer: JSONResponse, wait: int) -> Response:
    """The job at its end (200), or ``answer`` brought up to date after ``wait`` seconds (202)."""
    job_id = answer.headers["location"].rpartition("/")[2]
    give_up_at = anyio.current_time() + wait
    while True:
        job = await run_in_threadpool(views.job_view, db, job_id, tenant=tenant)
        if job.terminal or anyio.current_time() + POLL_SECONDS > give_up_at:
            break
        await anyio.sleep(POLL_SECONDS)
    headers = {name: answer.headers[name] for name in ("location", "idempotent-replayed") if name in answer.headers}
    headers["Preference-Applied"] = f"wait={wait}"
    if not job.terminal:
        headers["Retry-After"] = RETRY_AFTER
    return JSONResponse(job_document(job).model_dump(mode="json"), 200 if job.terminal else 202, headers=headers)


def _estimate(db: Database, tenant: str, spec: Spec) -> Estimate:
    expected = submit.rehearse(SUBMIT[type(spec)], db, spec, tenant=tenant)
    estimate = Estimate(seconds=expected.seconds, queued_jobs=expected.queued_jobs)
    if isinstance(spec, GenerateSpec):
        with db.read() as connection:
            dataset = forecast(connection, spec, tenant=tenant)
        estimate.count, estimate.candidates, estimate.bytes = spec.count, dataset.candidates, dataset.bytes
    return estimate


def _label(label: str) -> tuple[str, str]:
    name, _, value = label.partition("=")
    return name, value
