"""HEAD wherever GET is: the same status and headers, without the content (RFC 9110, section 9.3.2)."""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Answer HEAD by the route for GET and leave the content out. A stream is ended after its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HEAD on as GET and drop the body."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        scope.setdefault("state", {})["head_only"] = True
        await self.app({**scope, "method": "GET"}, receive, send_head)


def head_only(request: Request) -> bool:
    """Whether the caller wants the headers alone: content that is costly to begin need not be made."""
    return bool(getattr(request.state, "head_only", False))
