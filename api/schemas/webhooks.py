"""Webhook endpoints and what was delivered to them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from api.schemas.base import Document, Request
from store.webhooks.deliveries import Delivery as StoredDelivery
from store.webhooks.endpoints import Endpoint as StoredEndpoint

EventType = Literal["job.succeeded", "job.failed", "job.canceled", "job.expired"]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Description = Annotated[str, StringConstraints(max_length=255)]


class WebhookEndpointRequest(Request):
    """Target of events."""

    url: Url = Field(description="https, on a public address.", examples=["https://ci.example.com/hooks/offhand"])
    description: Description = ""
    events: list[EventType] = Field(default_factory=list, max_length=10, description="Event types to send; empty: all.")


class WebhookEndpointChange(Request):
    """Changes of an endpoint. Absent or null fields stay as they are."""

    url: Url | None = None
    description: Description | None = None
    events: Annotated[list[EventType] | None, Field(max_length=10)] = None
    enabled: bool | None = Field(None, description="True also takes back that an answer of 410 disabled it.")


class RotationRequest(Request):
    """Settings of a new secret."""

    overlap_hours: float = Field(
        24.0,
        ge=0,
        le=168,
        allow_inf_nan=False,
        description="How long the old secrets go on signing beside the new one.",
    )


class WebhookEndpoint(Document):
    """An endpoint. Its secret is shown when it is made and when it is rotated."""

    id: str = Field(examples=["whe_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    url: str
    description: str
    events: list[EventType]
    enabled: bool
    disabled_reason: str | None
    created_at: datetime


class NewWebhookEndpoint(WebhookEndpoint):
    """An endpoint that was just made."""

    secret: str | None = Field(
        description="`whsec_…`: check signatures with it. Not shown again; null when the request was a repeated one."
    )


class WebhookSecret(Document):
    """A new secret."""

    secret: str


class DeliveryAttempt(Document):
    """One try. An answer of 2xx is success, a redirect is none."""

    at: datetime
    status: int | None = Field(description="Of the answer; null where there was none.")
    error: str | None


class WebhookDelivery(Document):
    """A message on its way to an endpoint. `message_id` is the header `webhook-id`, the same at every try."""

    id: str = Field(examples=["dlv_01jd0c5w6w3m8z4k1x2y3z4a5b"])
    message_id: str
    type: str = Field(examples=["job.succeeded"])
    payload: dict[str, Any] = Field(description="The body that is sent.")
    state: Literal["pending", "delivered", "failed"]
    attempts: list[DeliveryAttempt]
    next_attempt_at: datetime | None
    created_at: datetime


def endpoint_document(endpoint: StoredEndpoint) -> WebhookEndpoint:
    """Return the document of an endpoint, without its secret."""
    return WebhookEndpoint.model_validate(
        {
            "id": endpoint.id,
            "url": endpoint.url,
            "description": endpoint.description,
            "events": list(endpoint.events),
            "enabled": endpoint.disabled_reason is None,
            "disabled_reason": endpoint.disabled_reason,
            "created_at": endpoint.created_at,
        }
    )


def delivery_document(delivery: StoredDelivery) -> WebhookDelivery:
    """Return the document of a delivery."""
    return WebhookDelivery.model_validate(delivery)
