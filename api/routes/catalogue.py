"""The catalogue: public checkpoints that can be imported by name."""

from fastapi import APIRouter

from api.protocol.paging import NumberToken, PageSize, page_of
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from store.database.paging import MAX_PAGE
from store.resources.catalogue import CatalogueEntry, catalogue

router = APIRouter(prefix="/v1/catalogue", tags=["generators"])


@router.get("", responses=documented(422))
def list_catalogue(page_size: PageSize = MAX_PAGE, page_token: NumberToken = None) -> ListOf[CatalogueEntry]:
    """Well-known public checkpoints, to be imported by name. Unverified ones were never fetched by this project: their
    addresses are as their makers published them.
    """
    return list_of(page_of(list(catalogue().values()), page_size, page_token), lambda entry: entry)
