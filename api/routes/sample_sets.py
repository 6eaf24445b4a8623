"""Samples for people to label: drawn by a job, fetched as a zip."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from api.backend import Db, Objects
from api.jobs.requests import JobRoute
from api.jobs.submission import Asking, started
from api.protocol.file_responses import download, file_response
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.sample_sets import SampleSet, sample_set_document
from api.security.scopes import Tenant
from store.database.paging import DEFAULT_PAGE
from store.job_kinds.draw_samples import DrawSamplesSpec, sample_set_id
from store.resources import sample_sets as stored

router = APIRouter(prefix="/v1/sample-sets", tags=["sample sets"], route_class=JobRoute)

EXAMPLE = {"generator": "heads64", "count": 30, "seed": 1}
JOB = started("The job that draws them; its `result.samples` names the set.", "The set of samples")


@router.post("", status_code=202, response_model=None, responses=JOB | documented(400, 413, 415, 422, 429, 507))
async def create_sample_set(
    spec: Annotated[DrawSamplesSpec, Body(examples=[EXAMPLE])],
    asked: Asking,
) -> Response:
    """Draw images to be labelled. Their codes are kept: labels that come back under the images' names need no
    inversion (`samples` of `POST /v1/jobs`).
    """
    return await asked.start(spec, where=lambda job_id: f"/v1/sample-sets/{sample_set_id(job_id)}")


@router.get("", responses=documented(422))
def list_sample_sets(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[SampleSet]:
    """Sets of samples, newest first."""
    page = stored.list_sample_sets(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, sample_set_document)


@router.get("/{sample_set_id}", responses=documented(404, 422))
def get_sample_set(sample_set_id: str, db: Db, tenant: Tenant) -> SampleSet:
    """One set of samples."""
    return sample_set_document(stored.get_sample_set(db, sample_set_id, tenant=tenant))


@download(router, "/{sample_set_id}/archive", "application/zip", "The archive.")
def get_sample_archive(sample_set_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """`images/`, named by their place in the stream, and how to label them. With `masks/` and `classes.json` beside, it
    is what an upload of labelled images holds.
    """
    file = stored.get_samples_file(db, sample_set_id, stored.ARCHIVE, tenant=tenant)
    return file_response(request, objects, file, filename=f"{sample_set_id}.zip")
