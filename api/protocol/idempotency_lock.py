"""One request for one idempotency key at a time: a second one that comes meanwhile is told to come back."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.protocol.errors import answer


class OneRequestPerKey:
    """409 while an earlier request with the same `Idempotency-Key` is still being answered by this process.

    Between processes the database decides: the later one finds what the first has made, and replays it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.busy: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request with a key run at a time."""
        key = Headers(scope=scope).get("idempotency-key") if scope["type"] == "http" else None
        if key is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        mine = (scope["state"]["caller"].tenant, key)
        if mine in self.busy:
            detail = "A request with this Idempotency-Key is still being answered."
            refusal = answer(Request(scope), "idempotency_in_flight", detail, headers={"Retry-After": "1"})
            await refusal(scope, receive, send)
            return
        self.busy.add(mine)
        try:
            await self.app(scope, receive, send)
        finally:
            self.busy.discard(mine)
