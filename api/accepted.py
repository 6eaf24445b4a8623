"""The answer to a request that starts a job: 202 with the job, where to follow it, and when it makes sense to ask."""

from typing import Any

from starlette.responses import JSONResponse

from api.idempotency import answer_once, creation_headers, location_documented
from api.schemas.jobs import Job, job_document
from store.db import Database
from store.idempotency import IdempotencyKey
from store.jobs.submit import Submission

RETRY_AFTER = "2"
RETRY_AFTER_DOCUMENTED = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until it makes sense to ask."}
}


def accepted(description: str, location: str = "The job") -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that starts a job."""
    headers = location_documented(location) | RETRY_AFTER_DOCUMENTED
    return {202: {"description": description, "model": Job, "headers": headers}}


def job_accepted(
    db: Database,
    tenant: str,
    submitted: Submission,
    key: IdempotencyKey | None,
    *,
    location: str | None = None,
    retry_after: str = RETRY_AFTER,
) -> JSONResponse:
    """202 with the job (200 where an equal one has ended already); the first answer again for a repeated ``key``.

    ``location``: where what the job makes will stand (default: the job itself).
    """
    there_already = submitted.job.terminal and not submitted.replayed
    headers = creation_headers(location or f"/v1/jobs/{submitted.job.id}", submitted.replayed)
    if not there_already:
        headers["Retry-After"] = retry_after
    status = 200 if there_already else 202
    return answer_once(db, tenant, key, submitted, status, lambda: job_document(submitted.job), headers)
