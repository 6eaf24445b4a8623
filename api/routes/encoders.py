"""Encoders: trained for a generator by a job, with their quality."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from api.archives.pictures import picture_response, pictures_of
from api.backend import Db, Objects
from api.jobs.requests import JobRoute
from api.jobs.submission import Asking, started
from api.protocol.file_responses import download
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.encoders import Encoder, encoder_document
from api.security.scopes import Tenant
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE
from store.job_kinds.import_encoder import ImportEncoderSpec
from store.job_kinds.train_encoder import TrainEncoderSpec
from store.resources import artifacts

router = APIRouter(prefix="/v1/encoders", tags=["encoders"], route_class=JobRoute)

JOB, IMPORTED = started("The job that trains it."), started("The job that fetches, reads and stores it.")


@router.post(
    "", status_code=202, response_model=None, responses=JOB | documented(400, 404, 409, 413, 415, 422, 429, 507)
)
async def create_encoder(
    spec: Annotated[TrainEncoderSpec, Body(examples=[{"generator": "heads64", "train_on": "samples", "steps": 3000}])],
    asked: Asking,
) -> Response:
    """Train an encoder for a generator. The job's `result.encoder` names it; equal requests share one."""
    return await asked.start(spec)


@router.post(
    "/imports",
    status_code=202,
    response_model=None,
    responses=IMPORTED | documented(400, 404, 409, 413, 415, 422, 429, 507),
)
async def create_encoder_import(
    spec: Annotated[
        ImportEncoderSpec, Body(examples=[{"source": "upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "generator": "heads64"}])
    ],
    asked: Asking,
) -> Response:
    """Import a published encoder of ReStyle, pSp or e4e for the generator that it was trained for. Nothing in the file
    is executed. The job's `result.encoder` names it.
    """
    return await asked.start(spec)


@router.get("", responses=documented(422))
def list_encoders(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[Encoder]:
    """Encoders, newest first."""
    page = artifacts.list_encoders(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, lambda one: encoder_with_pictures(db, tenant, one))


@router.get("/{encoder_id}", responses=documented(404, 422))
def get_encoder(encoder_id: str, db: Db, tenant: Tenant) -> Encoder:
    """One encoder with its report."""
    return encoder_with_pictures(db, tenant, artifacts.get_encoder(db, encoder_id, tenant=tenant))


@download(router, "/{encoder_id}/pictures/{name:path}", "image/png", "The picture.")
def get_encoder_picture(
    encoder_id: str, name: str, request: Request, db: Db, objects: Objects, tenant: Tenant
) -> Response:
    """Rows of an image and of what each iteration draws of it."""
    encoder = artifacts.get_encoder(db, encoder_id, tenant=tenant)
    return picture_response(request, db, objects, tenant, encoder.id, name)


def encoder_with_pictures(db: Database, tenant: str, encoder: artifacts.Made) -> Encoder:
    """Return the document of an encoder with its pictures."""
    return encoder_document(encoder, pictures_of(db, tenant, encoder.id, f"/v1/encoders/{encoder.id}"))
