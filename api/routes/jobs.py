"""Jobs: started, listed, looked at, canceled."""

from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Body, Query
from starlette.responses import JSONResponse, Response

from api.backend import Db
from api.jobs.requests import JobRequest, JobRoute
from api.jobs.submission import RETRY_AFTER, Asking, ended_or_not, started
from api.protocol.paging import Moment, PageSize, PageToken
from api.protocol.preconditions import UNCHANGED, IfNoneMatch, unless_unchanged
from api.protocol.prefer import PreferHeader, seconds_to_wait
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.jobs import Job, JobKind, JobState, job_document
from api.security.scopes import Tenant
from store.database.paging import DEFAULT_PAGE
from store.jobs import cancel, resume, views

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=JobRoute)

#: A page of jobs is milliseconds of computing. Where many are asked for, threads that take turns at each statement
#: would finish all of them late; a few finish one after the other.
LISTS = CapacityLimiter(4)

EXAMPLES: dict[str, Any] = {
    "short": {
        "summary": "Required fields",
        "value": {"kind": "generate", "labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "generator": "heads64", "count": 200},
    },
    "full": {
        "summary": "Optional fields",
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
    "check": {
        "summary": "Labelled images checked, nothing made of them",
        "value": {"kind": "check_labels", "labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "generator": "heads64"},
    },
    "labeler": {
        "summary": "A labeler alone, judged",
        "value": {"kind": "train_labeler", "labels": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "generator": "heads64"},
    },
}
CANCELED: dict[int | str, dict[str, Any]] = {
    200: {"description": "It was ending or had ended already.", "model": Job},
    202: {"description": "It will stop, within about 5 seconds.", "model": Job},
}


@router.post(
    "",
    status_code=202,
    response_model=None,
    responses=started("The job, which goes on.") | documented(400, 404, 409, 410, 413, 415, 422, 429, 507),
)
async def create_job(
    spec: Annotated[JobRequest, Body(openapi_examples=EXAMPLES)],
    asked: Asking,
) -> Response:
    """Start a job. The default `kind` is `generate`: turn labelled images into a labelled dataset; trains a
    labeler unless an equal one is there, then generates. Any other kind takes what a POST on its own resource takes.

    The body may also be YAML (`application/yaml`), for a spec that lives in a repository.
    """
    return await asked.start(spec)


@router.get("", response_model=ListOf[Job], responses=documented(422))
async def list_jobs(
    db: Db,
    tenant: Tenant,
    page_size: PageSize = DEFAULT_PAGE,
    page_token: PageToken = None,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[JobKind | None, Query(description="Only jobs of this kind.")] = None,
    label: Annotated[
        str | None, Query(pattern=r"^[^=]+=", max_length=320, description="Only jobs with this label: `name=value`.")
    ] = None,
    created_after: Annotated[
        Moment | None, Query(description="Only jobs made after this moment, with its time zone.")
    ] = None,
) -> Response:
    """Jobs, newest first."""
    which: dict[str, Any] = {
        "state": state,
        "kind": kind,
        "label": _label(label) if label else None,
        "created_after": created_after,
    }

    def written() -> str:
        page = views.list_jobs(db, tenant=tenant, **which, page_size=page_size, page_token=page_token)
        # Written at once: the framework would take its time to look through what was just made to measure.
        return list_of(page, partial(job_document, pictures=False)).model_dump_json()

    return Response(await to_thread.run_sync(written, limiter=LISTS), media_type="application/json")


@router.get(
    "/{job_id}",
    response_model=Job,
    responses=UNCHANGED | documented(404, 422),
)
async def get_job(
    job_id: str,
    db: Db,
    tenant: Tenant,
    if_none_match: IfNoneMatch = None,
    prefer: PreferHeader = None,
) -> Response:
    """One job. Ask again with `If-None-Match`: a job that has not changed costs nothing; or with `Prefer: wait`."""
    wait = seconds_to_wait(prefer)
    job = await ended_or_not(db, tenant, job_id, wait)
    headers = {"Preference-Applied": f"wait={wait}"} if wait else {}
    if not job.terminal:
        headers["Retry-After"] = RETRY_AFTER
    return unless_unchanged(job_document(job), if_none_match, headers)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    response_model=Job,
    responses=CANCELED | documented(404, 422, 507),
)
def cancel_job(job_id: str, db: Db, tenant: Tenant) -> Response:
    """Cancel a job; finished results stay. Repeating it changes nothing."""
    done = cancel.cancel_job(db, job_id, tenant=tenant)
    status = 202 if done.accepted else 200
    return JSONResponse(job_document(done.job).model_dump(mode="json"), status)


@router.post("/{job_id}/resume", status_code=202, responses=documented(404, 409, 410, 422, 429, 507))
def resume_job(job_id: str, db: Db, tenant: Tenant) -> Job:
    """Try again what failed; everything that is finished stays. A job that waits or runs is left as it is; one that was
    canceled, or that failed for a reason that another try cannot change (`retryable: false`), is refused.
    """
    return job_document(resume.resume_job(db, job_id, tenant=tenant))


def _label(label: str) -> tuple[str, str]:
    name, _, value = label.partition("=")
    return name, value
