"""The door: who asks is known before anything of a request is read, and counted."""

import base64
import binascii
import re
import time
from collections.abc import Sequence

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.backend import Backend
from api.protocol.errors import ApiError, on_api_error, on_store_error
from api.security.client_address import Network, client_network
from api.security.origin_check import SAFE_METHODS
from api.security.scopes import demand
from store.errors import StoreError
from store.tenancy.api_keys import SCOPES, Caller, identify
from store.tenancy.tenants import LOCAL

log = structlog.get_logger(__name__)

OPEN = re.compile(r"/healthz|/readyz|/openapi\.json|/static/.*")
#: Wrong keys a minute that are answered 401, then 429: with one beginning from one address, and from one address in
#: all. A valid key is never counted, whatever others at its address send.
FAILURES_PER_KEY = RateLimitItemPerMinute(60)
FAILURES_PER_ADDRESS = RateLimitItemPerMinute(120)
#: Characters of a wrong key that it is counted by: as many as the `hint` of a key shows.
KEY_BEGINNING = 10
SERVICE_WITHOUT_KEYS = Caller(LOCAL, "", frozenset(SCOPES))


class Authentication:
    """401 without a valid key, 403 without the scope, 429 past the tenant's rate; a log line for each write.

    Where no keys are required, everyone is the one local tenant. `trusted_proxies`: whose X-Forwarded-For is believed.
    """

    def __init__(self, app: ASGIApp, backend: Backend, required: bool, trusted_proxies: Sequence[Network] = ()) -> None:
        self.app, self.backend, self.required, self.trusted_proxies = app, backend, required, trusted_proxies
        self.limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse requests without a valid key, or pass them on with their caller."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, headers = Request(scope), dict[str, str]()
        caller = SERVICE_WITHOUT_KEYS
        if self.required and not OPEN.fullmatch(scope["path"]):
            try:
                caller = await run_in_threadpool(self._admit, request)
                headers = self._count(caller)
                demand(caller, "read" if scope["method"] in SAFE_METHODS else "write")
            except ApiError as error:
                await (await on_api_error(request, error))(scope, receive, send)
                return
            except StoreError as error:
                await (await on_store_error(request, error))(scope, receive, send)
                return
        scope.setdefault("state", {})["caller"] = caller
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                for name, value in headers.items():
                    answer.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            if scope["method"] not in SAFE_METHODS:
                log.info(
                    "write.audited",
                    tenant=caller.tenant,
                    key=caller.key_id,
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                )

    def _admit(self, request: Request) -> Caller:
        """Return the caller; raise 401 without a valid key, and 429 after too many wrong ones."""
        secret = presented(request)
        caller = identify(self.backend.database, secret) if secret else None
        if caller is None:
            if secret:
                self._count_failure(secret, client_network(request.scope, self.trusted_proxies))
            what = "This API key is unknown, revoked or expired." if secret else "Send `Authorization: Bearer KEY`."
            # Pages are for people: their browser asks for the key, as a password.
            challenge = "Bearer" if request.url.path.startswith("/v1/") else 'Basic realm="Offhand", charset="UTF-8"'
            raise ApiError("unauthenticated", what, headers={"WWW-Authenticate": challenge})
        return caller

    def _count_failure(self, secret: str, network: str) -> None:
        """Count a wrong key; raise 429 when there were too many."""
        # The address first: past its limit, random keys leave no more counters behind.
        counted = self.limiter.hit(FAILURES_PER_ADDRESS, "failures", network) and self.limiter.hit(
            FAILURES_PER_KEY, "failures", network, secret[:KEY_BEGINNING]
        )
        if not counted:
            raise ApiError("rate_limited", "Too many wrong keys came from this address.", headers={"Retry-After": "60"})

    def _count(self, caller: Caller) -> dict[str, str]:
        """Headers that say what is left; raises 429 when nothing is."""
        rate = caller.requests_per_minute
        if rate is None:
            return {}
        item = RateLimitItemPerMinute(rate)
        allowed = self.limiter.hit(item, "tenant", caller.tenant)
        window = self.limiter.get_window_stats(item, "tenant", caller.tenant)
        reset = max(1, round(window.reset_time - time.time()))
        headers = {
            "RateLimit-Policy": f'"requests";q={rate};w=60',
            "RateLimit": f'"requests";r={max(0, window.remaining)};t={reset}',
        }
        if not allowed:
            raise ApiError(
                "rate_limited", f"{rate} requests a minute are allowed.", headers=headers | {"Retry-After": str(reset)}
            )
        return headers


def presented(request: Request) -> str | None:
    """The key that came with a request: `Bearer`, or for reading also the password of `Basic`, which browsers send."""
    kind, _, value = Headers(scope=request.scope).get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip() or None
    if kind.lower() == "basic" and request.method in SAFE_METHODS:
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None
