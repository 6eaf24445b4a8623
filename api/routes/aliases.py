"""Dataset aliases: `latest` and the like. A job that names one moves it when it succeeds, and never otherwise."""

from typing import Annotated

from fastapi import APIRouter, Body, Path
from starlette.responses import Response

from api.backend import Db
from api.protocol.paging import NumberToken, PageSize, page_of
from api.protocol.preconditions import UNCHANGED, IfAbsent, IfMatch, IfNoneMatch, demand_unchanged, unless_unchanged
from api.protocol.problems import documented
from api.schemas.aliases import Alias, AliasRequest, alias_document
from api.schemas.base import ListOf, list_of
from api.security.scopes import Tenant
from store.database.paging import MAX_PAGE
from store.requests.base import ALIAS
from store.resources import aliases
from store.resources.aliases import Alias as StoredAlias

router = APIRouter(prefix="/v1/dataset-aliases", tags=["datasets"])
Name = Annotated[str, Path(pattern=ALIAS, examples=["latest"])]


@router.get("", responses=documented(422))
def list_dataset_aliases(
    db: Db, tenant: Tenant, page_size: PageSize = MAX_PAGE, page_token: NumberToken = None
) -> ListOf[Alias]:
    """Every alias, by name, those of deleted and expired datasets included: `dataset_state` marks them."""
    return list_of(page_of(aliases.list_aliases(db, tenant=tenant), page_size, page_token), alias_document)


@router.get("/{name}", response_model=Alias, responses=UNCHANGED | documented(404, 410, 422))
def get_dataset_alias(name: Name, db: Db, tenant: Tenant, if_none_match: IfNoneMatch = None) -> Response:
    """Where a name points; 410 where its dataset was deleted or has expired. Send its `ETag` as `If-Match` to move it
    only while nothing else has moved it.
    """
    return unless_unchanged(alias_document(aliases.get_alias(db, name, tenant=tenant)), if_none_match)


@router.put("/{name}", response_model=Alias, responses=documented(400, 412, 413, 415, 422, 507))
def put_dataset_alias(
    name: Name,
    body: Annotated[AliasRequest, Body(examples=[{"dataset": "ds_01jd0c5w6w3m8z4k1x2y3z4a5b"}])],
    db: Db,
    tenant: Tenant,
    if_match: IfMatch = None,
    if_none_match: IfAbsent = None,
) -> Response:
    """Let a name point at a dataset: back to an older one, for example."""

    def check(current: StoredAlias | None) -> None:
        demand_unchanged(None if current is None else alias_document(current), if_match, if_none_match)

    alias = aliases.set_alias(db, name, body.dataset, tenant=tenant, check=check)
    return unless_unchanged(alias_document(alias), None)


@router.delete("/{name}", status_code=204, responses=documented(404, 412, 422))
def delete_dataset_alias(name: Name, db: Db, tenant: Tenant, if_match: IfMatch = None) -> None:
    """Forget a name; the dataset stays. A waiting or running job that names it makes it again when it succeeds."""

    def check(current: StoredAlias) -> None:
        demand_unchanged(alias_document(current), if_match)

    aliases.delete_alias(db, name, tenant=tenant, check=check)
