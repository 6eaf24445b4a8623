"""`client.keys`: API keys of the tenant; the client's own key must have the scope `admin`."""

from collections.abc import Iterator, Sequence

from offhand.documents import ApiKey, NewApiKey
from offhand.sdk.resources.resource import Resource


class Keys(Resource):
    """API keys."""

    path = "/v1/api-keys"

    def list(self) -> Iterator[ApiKey]:
        """Yield keys, newest first, revoked ones included; none has the key itself."""
        return self._connection.pages(ApiKey, self.path)

    def get(self, key_id: str) -> ApiKey:
        """Return one key."""
        return self._connection.get(ApiKey, self._at(key_id))

    def create(
        self, name: str, scopes: Sequence[str] = ("read", "write"), expires_in_days: float | None = 90.0
    ) -> NewApiKey:
        """Create a key and return it; ``key`` is returned this once.

        ``scopes``: `read`, `write`, `admin`. ``expires_in_days`` None: it does not expire.
        """
        body = {"name": name, "scopes": [*scopes], "expires_in_days": expires_in_days}
        return self._connection.send(NewApiKey, "POST", self.path, body)

    def revoke(self, key_id: str) -> None:
        """Revoke a key at once. It stays in the list."""
        self._connection.request("DELETE", self._at(key_id))
