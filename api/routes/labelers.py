"""Labelers: trained label generators, with what is known about their quality."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.backend import Db, Objects
from api.content import download, file_response
from api.paging import PageSize, PageToken
from api.problems import documented
from api.schemas.base import ListOf
from api.schemas.resources import File, Labeler, file_document, labeler_document
from api.tenancy import Tenant
from store import made
from store.db import Database
from store.errors import NotFound
from store.files import get_file, list_files

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
    file = get_file(db, labeler.parents["inversion_id"], name, tenant=tenant)
    if file.media_type != "image/png":
        raise NotFound(f"{labeler_id} has no picture {name!r}")
    return file_response(request, objects, file, attachment=False)


def labeler_with_reports(db: Database, tenant: str, labeler: made.Made) -> Labeler:
    inversion_id = labeler.parents["inversion_id"]
    pictures: list[File] = []
    for file in list_files(db, inversion_id, tenant=tenant):
        if file.media_type == "image/png":
            pictures.append(file_document(file, f"/v1/labelers/{labeler.id}/pictures/{file.name}"))
    return labeler_document(labeler, made.get_inversion(db, inversion_id, tenant=tenant), pictures)
