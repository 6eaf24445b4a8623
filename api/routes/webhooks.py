"""Webhooks: where a tenant is told that its jobs have ended, and the log of what was told."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from starlette.responses import JSONResponse, Response

from api.backend import Db
from api.protocol.idempotency import IdempotencyHeader, created, creation_headers, key_of
from api.protocol.paging import PageSize, PageToken
from api.protocol.problems import documented
from api.schemas.base import ListOf, list_of
from api.schemas.webhooks import (
    NewWebhookEndpoint,
    RotationRequest,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEndpointChange,
    WebhookEndpointRequest,
    WebhookSecret,
    delivery_document,
    endpoint_document,
)
from api.security.scopes import Tenant
from store.database.paging import DEFAULT_PAGE
from store.webhooks import deliveries, endpoints
from store.webhooks.deliveries import State

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"])

ENDPOINT_EXAMPLE = {"url": "https://ci.example.com/hooks/offhand", "description": "CI", "events": ["job.succeeded"]}


@router.post(
    "",
    status_code=201,
    response_model=None,
    responses=created("The endpoint", NewWebhookEndpoint) | documented(400, 409, 413, 415, 422, 507),
)
def create_webhook_endpoint(
    body: Annotated[WebhookEndpointRequest, Body(examples=[ENDPOINT_EXAMPLE])],
    request: Request,
    db: Db,
    tenant: Tenant,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Send events when jobs end: a signed POST (Standard Webhooks) with ids; read the rest with your own key.

    An answer of 2xx is success. All else is tried again ten times within four days; 410 disables the endpoint; a
    redirect is not followed. Targets that are not https on a public address are refused here, and again at each try.
    """
    key = key_of(idempotency_key, request, body)
    made = endpoints.create_endpoint(
        db, tenant=tenant, url=body.url, description=body.description, events=body.events, idempotency_key=key
    )
    document = NewWebhookEndpoint(**endpoint_document(made.endpoint).model_dump(), secret=made.secret)
    headers = creation_headers(f"/v1/webhook-endpoints/{made.endpoint.id}", made.replayed)
    headers["Cache-Control"] = "no-store"
    return JSONResponse(document.model_dump(mode="json"), 201, headers=headers)


@router.get("", responses=documented(422))
def list_webhook_endpoints(
    db: Db, tenant: Tenant, page_size: PageSize = DEFAULT_PAGE, page_token: PageToken = None
) -> ListOf[WebhookEndpoint]:
    """Endpoints, newest first."""
    page = endpoints.list_endpoints(db, tenant=tenant, page_size=page_size, page_token=page_token)
    return list_of(page, endpoint_document)


@router.get("/{endpoint_id}", responses=documented(404, 422))
def get_webhook_endpoint(endpoint_id: str, db: Db, tenant: Tenant) -> WebhookEndpoint:
    """One endpoint."""
    return endpoint_document(endpoints.get_endpoint(db, endpoint_id, tenant=tenant))


@router.patch("/{endpoint_id}", responses=documented(400, 404, 413, 415, 422, 507))
def update_webhook_endpoint(
    endpoint_id: str,
    change: Annotated[WebhookEndpointChange, Body(examples=[{"enabled": False}])],
    db: Db,
    tenant: Tenant,
) -> WebhookEndpoint:
    """Change an endpoint, switch it off, or on again."""
    return endpoint_document(
        endpoints.update_endpoint(
            db,
            endpoint_id,
            tenant=tenant,
            url=change.url,
            description=change.description,
            events=change.events,
            enabled=change.enabled,
        )
    )


@router.delete("/{endpoint_id}", status_code=204, responses=documented(404, 422))
def delete_webhook_endpoint(endpoint_id: str, db: Db, tenant: Tenant) -> None:
    """Delete an endpoint and its log."""
    endpoints.delete_endpoint(db, endpoint_id, tenant=tenant)


@router.post("/{endpoint_id}/rotate-secret", responses=documented(400, 404, 413, 415, 422, 507))
def rotate_webhook_secret(
    endpoint_id: str,
    db: Db,
    tenant: Tenant,
    body: Annotated[RotationRequest | None, Body(examples=[{"overlap_hours": 24}])] = None,
) -> WebhookSecret:
    """A new secret. Messages carry the signatures of both until the overlap is over."""
    hours = (body or RotationRequest()).overlap_hours
    return WebhookSecret(secret=endpoints.rotate_secret(db, endpoint_id, tenant=tenant, overlap_hours=hours))


@router.post("/{endpoint_id}/test", status_code=202, responses=documented(404, 409, 422, 507))
def test_webhook_endpoint(endpoint_id: str, db: Db, tenant: Tenant) -> WebhookDelivery:
    """Send a message of type `webhook.test`; look at the delivery to see how it went."""
    return delivery_document(deliveries.send_test(db, endpoint_id, tenant=tenant))


@router.get("/{endpoint_id}/deliveries", responses=documented(404, 422))
def list_webhook_deliveries(
    endpoint_id: str,
    db: Db,
    tenant: Tenant,
    page_size: PageSize = DEFAULT_PAGE,
    page_token: PageToken = None,
    state: Annotated[State | None, Query(description="Only deliveries in this state.")] = None,
) -> ListOf[WebhookDelivery]:
    """Deliveries to an endpoint in the last 30 days, newest first, with every try."""
    page = deliveries.list_deliveries(
        db, endpoint_id, tenant=tenant, state=state, page_size=page_size, page_token=page_token
    )
    return list_of(page, delivery_document)


@router.get("/{endpoint_id}/deliveries/{delivery_id}", responses=documented(404, 422))
def get_webhook_delivery(endpoint_id: str, delivery_id: str, db: Db, tenant: Tenant) -> WebhookDelivery:
    """One delivery."""
    return delivery_document(deliveries.get_delivery(db, endpoint_id, delivery_id, tenant=tenant))


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/redeliver", status_code=202, responses=documented(404, 409, 422, 507)
)
def redeliver_webhook(endpoint_id: str, delivery_id: str, db: Db, tenant: Tenant) -> WebhookDelivery:
    """Send a delivery again now."""
    return delivery_document(deliveries.redeliver(db, endpoint_id, delivery_id, tenant=tenant))
