"""Dataset aliases: `latest` and the like. A job that names one moves it when it succeeds, and never otherwise."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.backend import Db
from api.problems import documented
from api.schemas.aliases import Alias, AliasRequest, alias_document
from api.schemas.base import ListOf
from api.tenancy import Tenant
from store import aliases
from store.specs import ALIAS

router = APIRouter(prefix="/v1/dataset-aliases", tags=["datasets"])
Name = Annotated[str, Path(pattern=ALIAS, examples=["latest"])]


@router.get("", responses=documented())
def list_dataset_aliases(db: Db, tenant: Tenant) -> ListOf[Alias]:
    """Every alias, by name."""
    return ListOf(items=[alias_document(alias) for alias in aliases.list_aliases(db, tenant=tenant)])


@router.get("/{name}", responses=documented(404, 422))
def get_dataset_alias(name: Name, db: Db, tenant: Tenant) -> Alias:
    """Where a name points."""
    return alias_document(aliases.get_alias(db, name, tenant=tenant))


@router.put("/{name}", responses=documented(400, 413, 415, 422, 507))
def put_dataset_alias(name: Name, wish: AliasRequest, db: Db, tenant: Tenant) -> Alias:
    """Let a name point at a dataset: back to an older one, for example."""
    return alias_document(aliases.set_alias(db, name, wish.dataset, tenant=tenant))


@router.delete("/{name}", status_code=204, responses=documented(404, 422))
def delete_dataset_alias(name: Name, db: Db, tenant: Tenant) -> None:
    """Forget a name; the dataset stays."""
    aliases.delete_alias(db, name, tenant=tenant)
