"""Label sets: labelled images, validated as a whole. Born from an upload, by the first job that uses it."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.backend import Db, Objects
from api.protocol.file_responses import download, file_response
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.resources import LabelSet, label_set_document
from api.security.scopes import Tenant
from store.database.paging import DEFAULT_PAGE
from store.resources import artifacts
from store.resources.files import get_file

router = APIRouter(prefix="/v1/label-sets", tags=["label sets"])


@router.get("", responses=documented(422))
def list_label_sets(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[LabelSet]:
    """Label sets, newest first."""
    page = artifacts.list_label_sets(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, label_set_document)


@router.get("/{label_set_id}", responses=documented(404, 422))
def get_label_set(label_set_id: str, db: Db, tenant: Tenant) -> LabelSet:
    """One label set."""
    return label_set_document(artifacts.get_label_set(db, label_set_id, tenant=tenant))


@download(router, "/{label_set_id}/preview", "image/png", "The label over the image, for the first ones.")
def get_label_set_preview(label_set_id: str, request: Request, db: Db, objects: Objects, tenant: Tenant) -> Response:
    """A preview of the parsed labels: the first labelled images with their labels over them."""
    artifacts.get_label_set(db, label_set_id, tenant=tenant)
    return file_response(
        request, objects, get_file(db, label_set_id, artifacts.LABEL_PREVIEW, tenant=tenant), attachment=False
    )
