"""The catalogue: public checkpoints that can be imported by name."""

from fastapi import APIRouter

from api.protocol.problems import documented
from api.schemas.base import ListOf
from store.resources.catalogue import CatalogueEntry, catalogue

router = APIRouter(prefix="/v1/catalogue", tags=["generators"])


@router.get("", responses=documented())
def list_catalogue() -> ListOf[CatalogueEntry]:
    """Well-known public checkpoints, to be imported by name. Unverified ones were never fetched by this project: their
    addresses are as their makers published them."""
    return ListOf(items=list(catalogue().values()), next_page_token=None)
