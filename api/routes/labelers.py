"""Labelers: trained label generators, with what is known about their quality."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.backend import Db, Objects
from api.content import download
from api.paging import PageSize, PageToken
from api.pictures import picture_response, pictures_of
from api.problems import documented
from api.schemas.base import ListOf
from api.schemas.resources import Labeler, labeler_document
from api.tenancy import Tenant
from store import made
from store.db import Database

router = APIRouter(prefix="/v1/labelers", tags=["labelers"])


@router.get("", responses=documented(422))
def list_labelers(db: Db, tenant: Tenant, page_size: PageSize = 50, page_token: PageToken = None) -> ListOf[Labeler]:
    """Labelers, newest first."""
    page = made.list_labelers(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return ListOf(
        items=[labeler_with_reports(db, tenant, item) for item in page.items], next_page_token=page.next_page_token
    )


@router.get("/{labeler_id}", responses=documented(404, 422))
def get_labeler(labeler_id: str, db: Db, tenant: Tenant) -> Labeler:
    """One labeler with its report and the report of the inversion it was trained on."""
    return labeler_with_reports(db, tenant, made.get_labeler(db, labeler_id, tenant=tenant))


@download(router, "/{labeler_id}/pictures/{name:path}", "image/png", "The picture.")
def get_labeler_picture(
    labeler_id: str, name: str, request: Request, db: Db, objects: Objects, tenant: Tenant
) -> Response:
    """A labelled image beside its reconstruction."""
    labeler = made.get_labeler(db, labeler_id, tenant=tenant)
    return picture_response(request, db, objects, tenant, labeler.parents["inversion_id"], name)


def labeler_with_reports(db: Database, tenant: str, labeler: made.Made) -> Labeler:
    inversion_id = labeler.parents["inversion_id"]
    pictures = pictures_of(db, tenant, inversion_id, f"/v1/labelers/{labeler.id}")
    return labeler_document(labeler, made.get_inversion(db, inversion_id, tenant=tenant), pictures)
