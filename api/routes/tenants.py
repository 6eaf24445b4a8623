"""A tenant's own settings: its API keys and its quota."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from starlette.responses import JSONResponse, Response

from api.backend import Db
from api.protocol.idempotency import IdempotencyHeader, created, creation_headers, key_of
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.tenants import ApiKey, ApiKeyRequest, NewApiKey, QuotaList, key_document, quota_document
from api.security.scopes import AdminTenant, Tenant
from store.database.paging import DEFAULT_PAGE
from store.tenancy import api_keys
from store.tenancy.tenants import quotas

router = APIRouter(prefix="/v1", tags=["settings"])


@router.post(
    "/api-keys",
    status_code=201,
    response_model=None,
    responses=created("The key", NewApiKey) | documented(400, 409, 413, 415, 422, 507),
)
def create_api_key(
    body: Annotated[ApiKeyRequest, Body(examples=[{"name": "ci", "scopes": ["read"], "expires_in_days": 30}])],
    request: Request,
    db: Db,
    tenant: AdminTenant,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Make a key of this tenant. The answer is the only place that ever shows it."""
    key = key_of(idempotency_key, request, body)
    made = api_keys.create_key(
        db, tenant=tenant, name=body.name, scopes=body.scopes, days=body.expires_in_days, idempotency_key=key
    )
    document = NewApiKey(**key_document(made.key).model_dump(), key=made.secret)
    headers = creation_headers(f"/v1/api-keys/{made.key.id}", made.replayed)
    headers["Cache-Control"] = "no-store"
    return JSONResponse(document.model_dump(mode="json"), 201, headers=headers)


@router.get("/api-keys", responses=documented(422))
def list_api_keys(
    db: Db, tenant: AdminTenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[ApiKey]:
    """Keys, newest first, revoked ones included."""
    page = api_keys.list_keys(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, key_document)


@router.get("/api-keys/{key_id}", responses=documented(404, 422))
def get_api_key(key_id: str, db: Db, tenant: AdminTenant) -> ApiKey:
    """One key."""
    return key_document(api_keys.get_key(db, key_id, tenant=tenant))


@router.delete("/api-keys/{key_id}", status_code=204, responses=documented(404, 422))
def delete_api_key(key_id: str, db: Db, tenant: AdminTenant) -> None:
    """Revoke a key at once. It stays in the list, with the time of its end."""
    api_keys.revoke_key(db, key_id, tenant=tenant)


@router.get("/quota", responses=documented())
def get_quota(db: Db, tenant: Tenant) -> QuotaList:
    """Limits of this tenant, and how much of each is used."""
    return quota_document(quotas(db, tenant=tenant))
