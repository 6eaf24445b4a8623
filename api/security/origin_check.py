"""Keeps web pages of other origins away from a service that has no keys: their scripts run on the same machine."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.protocol.errors import answer

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OwnPagesOnly:
    """403 for a changing request that a browser sends on behalf of another site, and, without keys, for foreign names.

    The second stops a page whose own name was made to point at 127.0.0.1 (DNS rebinding) from reading anything.
    """

    def __init__(self, app: ASGIApp, own_names_only: bool) -> None:
        self.app, self.own_names_only = app, own_names_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse requests of other origins and foreign hosts."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            await answer(Request(scope), "foreign_origin", refusal)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if self.own_names_only and hostname(headers.get("host", "")) not in LOOPBACK:
            return "This service answers to 127.0.0.1 and localhost alone."
        if scope["method"] not in SAFE_METHODS and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return "Pages of other origins may not change anything here."
        return None


def hostname(host: str) -> str:
    """``127.0.0.1:8321`` → ``127.0.0.1``; ``[::1]:8321`` → ``::1``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
