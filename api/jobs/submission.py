"""Requests that start a job: what each may say beside its body, and how each is answered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from api.backend import Db
from api.protocol.idempotency import IdempotencyHeader, answer_once, creation_headers, key_of, location_documented
from api.protocol.prefer import PreferHeader, seconds_to_wait
from api.schemas.jobs import Estimate, Job, job_document
from api.security.scopes import Tenant
from store.database.database import Database
from store.database.idempotency import IdempotencyKey
from store.job_kinds import KINDS
from store.jobs import views
from store.jobs.kinds import Submitting
from store.jobs.submit import Submission, rehearse, submit_request
from store.requests.base import JobSpec
from store.resources.artifacts import PREFIXES

#: Seconds until it makes sense to ask again.
RETRY_AFTER = "2"
#: How often a caller who waits is looked after.
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Asked:
    """Caller, headers and waiting time of a request for a job: for every route that starts one."""

    request: Request
    db: Database
    tenant: str
    validate_only: bool
    idempotency_key: str | None
    wait: int

    async def start(
        self, spec: JobSpec, *, where: Callable[[str], str] | None = None, retry_after: str = RETRY_AFTER
    ) -> Response:
        """202 with the job, where to follow it, and when it makes sense to ask; 200 where it has ended within the time
        that the caller would wait, where an equal one had before, or with the estimate that was asked for.

        ``where``: of a job's id, where what it makes will stand (default: the job itself).
        """
        if self.validate_only:
            estimate = await run_in_threadpool(_estimate, self.db, self.tenant, spec)
            return JSONResponse(estimate.model_dump(mode="json"))
        return await self._answer(spec, where or "/v1/jobs/{}".format, retry_after)

    async def _answer(self, spec: JobSpec, where: Callable[[str], str], retry_after: str) -> Response:
        key = key_of(self.idempotency_key, self.request, spec)
        submitted, answer = await run_in_threadpool(self._submit, spec, key, where, retry_after)
        if not self.wait:
            return answer
        job = await ended_or_not(self.db, self.tenant, submitted.job.id, self.wait)
        headers = creation_headers(where(job.id), submitted.replayed) | {"Preference-Applied": f"wait={self.wait}"}
        if not job.terminal:
            headers["Retry-After"] = retry_after
        return JSONResponse(job_document(job).model_dump(mode="json"), 200 if job.terminal else 202, headers=headers)

    def _submit(
        self, spec: JobSpec, key: IdempotencyKey | None, where: Callable[[str], str], retry_after: str
    ) -> tuple[Submission, Response]:
        """The job, and the answer to who does not wait for its end."""
        request_id = self.request.state.request_id
        submitted = submit_request(self.db, spec, tenant=self.tenant, request_id=request_id, idempotency_key=key)
        there_already = submitted.job.terminal and not submitted.replayed
        headers = creation_headers(where(submitted.job.id), submitted.replayed)
        if not there_already:
            headers["Retry-After"] = retry_after
        status = 200 if there_already else 202
        answer = answer_once(self.db, self.tenant, key, submitted, status, lambda: job_document(submitted.job), headers)
        return submitted, answer


async def _asked(
    request: Request,
    db: Db,
    tenant: Tenant,
    validate_only: Annotated[
        bool, Query(description="Check the request and return an estimate, or every problem; start nothing.")
    ] = False,
    idempotency_key: IdempotencyHeader = None,
    prefer: PreferHeader = None,
) -> Asked:
    return Asked(request, db, tenant, validate_only, idempotency_key, seconds_to_wait(prefer))


Asking = Annotated[Asked, Depends(_asked)]


def started(description: str, location: str = "The job") -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that starts a job."""
    soon = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until it makes sense to ask."}}
    return {
        200: {
            "description": "The job at its end: within `Prefer: wait`, or an equal one before; or the estimate.",
            "model": Job | Estimate,
        },
        202: {"description": description, "model": Job, "headers": location_documented(location) | soon},
    }


async def ended_or_not(db: Database, tenant: str, job_id: str, wait: int) -> views.Job:
    """The job at its end, or as it is after ``wait`` seconds. Raises NotFound."""
    give_up_at = anyio.current_time() + wait
    while True:
        job = await run_in_threadpool(views.job_view, db, job_id, tenant=tenant)
        if job.terminal or anyio.current_time() + POLL_SECONDS > give_up_at:
            return job
        await anyio.sleep(POLL_SECONDS)


def _estimate(db: Database, tenant: str, spec: JobSpec) -> Estimate:
    expected = rehearse(db, spec, tenant=tenant)
    estimate = Estimate(seconds=expected.seconds, rough=expected.rough, queued_jobs=expected.queued_jobs)
    if (labels := getattr(spec, "labels", None)) is not None:
        estimate.labels_checked = str(labels).startswith(PREFIXES["label_set"] + "_")
    if (size := KINDS[spec.kind].size) is not None:
        with db.read() as connection:
            dataset = size(Submitting(connection, db, tenant), spec)
        estimate.count, estimate.candidates, estimate.bytes = dataset.count, dataset.candidates, dataset.bytes
    return estimate
