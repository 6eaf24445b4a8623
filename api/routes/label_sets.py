"""Label sets: labelled images, validated as a whole. Born from an upload, by the first job that uses it."""

from fastapi import APIRouter

from api.backend import Db
from api.paging import PageSize, PageToken
from api.problems import documented
from api.schemas.base import ListOf
from api.schemas.resources import LabelSet, label_set_document
from api.tenancy import Tenant
from store import made

router = APIRouter(prefix="/v1/label-sets", tags=["label sets"])


@router.get("", responses=documented(422))
def list_label_sets(db: Db, tenant: Tenant, page_size: PageSize = 50, page_token: PageToken = None) -> ListOf[LabelSet]:
    """Label sets, newest first."""
    page = made.list_label_sets(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return ListOf(items=[label_set_document(item) for item in page.items], next_page_token=page.next_page_token)


@router.get("/{label_set_id}", responses=documented(404, 422))
def get_label_set(label_set_id: str, db: Db, tenant: Tenant) -> LabelSet:
    """One label set."""
    return label_set_document(made.get_label_set(db, label_set_id, tenant=tenant))
