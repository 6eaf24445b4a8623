"""Additions to every request and answer: request id, security headers, log line, span. Plain ASGI: streams pass."""

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.protocol.errors import fault
from store import tracing

log = structlog.get_logger(__name__)

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}
QUIET = frozenset({"/healthz", "/readyz"})


class RequestContext:
    """Take the caller's ``X-Request-Id`` or make one; it is in every log line and travels with the job."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with tracing.span(
            scope["method"],
            kind="server",
            parent=Headers(scope=scope).get("traceparent", ""),
            attributes={"http.request.method": scope["method"], "url.path": scope["path"]},
        ) as made:
            await self._answer(scope, receive, send)
            if made is not None and "route" in scope:
                made.update_name(f"{scope['method']} {scope['route'].path}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        offered = Headers(scope=scope).get("x-request-id", "")
        request_id = offered if ACCEPTABLE_ID.fullmatch(offered) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.monotonic(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                tracing.note("http.response.status_code", status)
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            refusal = fault(Request(scope), error)
            if status:
                raise  # half an answer is out: the server cuts the connection, and the reader sees that it is short
            await refusal(scope, receive, send_with_headers)
        finally:
            log.log(
                10 if scope["path"] in QUIET else 20,
                "request.answered",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round((time.monotonic() - started) * 1000, 1),
            )
            structlog.contextvars.unbind_contextvars("request_id")
