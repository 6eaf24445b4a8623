"""`client.webhooks`: addresses that are notified when jobs end, and what was delivered to them."""

from collections.abc import Iterator, Sequence
from typing import Any

from offhand.documents import NewWebhookEndpoint, WebhookDelivery, WebhookEndpoint, WebhookSecret
from offhand.sdk.connection import given
from offhand.sdk.resources.resource import Resource


class Webhooks(Resource):
    """Webhook endpoints and their deliveries."""

    path = "/v1/webhook-endpoints"

    def list(self) -> Iterator[WebhookEndpoint]:
        """Yield endpoints, newest first."""
        return self._connection.pages(WebhookEndpoint, self.path)

    def get(self, endpoint_id: str) -> WebhookEndpoint:
        """Return one endpoint."""
        return self._connection.get(WebhookEndpoint, self._at(endpoint_id))

    def create(self, url: str, events: Sequence[str] = (), description: str = "") -> NewWebhookEndpoint:
        """Create an endpoint and return it; ``secret``, which signs its messages, is returned this once.

        ``url``: https, on a public address. ``events``: such as `job.failed`; empty: all.
        """
        body = {"url": url, "events": [*events], "description": description}
        return self._connection.send(NewWebhookEndpoint, "POST", self.path, body)

    def update(self, endpoint_id: str, **changes: Any) -> WebhookEndpoint:
        """Change ``url``, ``description``, ``events`` or ``enabled``; what is None or absent stays."""
        return self._connection.send(WebhookEndpoint, "PATCH", self._at(endpoint_id), given(changes))

    def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint with its log."""
        self._connection.request("DELETE", self._at(endpoint_id))

    def rotate_secret(self, endpoint_id: str, overlap_hours: float = 24.0) -> str:
        """Return a new secret; the old ones sign beside it for ``overlap_hours``."""
        body = {"overlap_hours": overlap_hours}
        return self._connection.send(WebhookSecret, "POST", self._at(endpoint_id, "rotate-secret"), body)["secret"]

    def send_test(self, endpoint_id: str) -> WebhookDelivery:
        """Send a message of type `webhook.test` and return its delivery."""
        return self._connection.send(WebhookDelivery, "POST", self._at(endpoint_id, "test"))

    def deliveries(self, endpoint_id: str) -> Iterator[WebhookDelivery]:
        """Yield the messages to an endpoint, newest first, each with every try to deliver it."""
        return self._connection.pages(WebhookDelivery, self._at(endpoint_id, "deliveries"))

    def redeliver(self, endpoint_id: str, delivery_id: str) -> WebhookDelivery:
        """Send a delivery again now."""
        path = self._at(endpoint_id, "deliveries", delivery_id, "redeliver")
        return self._connection.send(WebhookDelivery, "POST", path)
