"""Generators: what can be sampled from."""

from fastapi import APIRouter

from api.backend import Db
from api.paging import PageSize, PageToken
from api.problems import documented
from api.schemas.base import ListOf
from api.schemas.resources import Generator, generator_document
from api.tenancy import Tenant
from store import generators as stored

router = APIRouter(prefix="/v1/generators", tags=["generators"])


@router.get("", responses=documented(422))
def list_generators(
    db: Db, tenant: Tenant, page_size: PageSize = 50, page_token: PageToken = None
) -> ListOf[Generator]:
    """Every generator there is, newest first."""
    page = stored.list_generators(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return ListOf(items=[generator_document(g) for g in page.items], next_page_token=page.next_page_token)


@router.get("/{generator_id}", responses=documented(404, 422))
def get_generator(generator_id: str, db: Db, tenant: Tenant) -> Generator:
    """One generator, by name or id."""
    return generator_document(stored.get_generator(db, generator_id, tenant=tenant))
