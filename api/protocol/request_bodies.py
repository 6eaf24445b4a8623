"""Bodies on their way in: bounded while they stream, never held whole in memory."""

from collections.abc import Callable
from dataclasses import dataclass

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.protocol.errors import ApiError, answer
from store.errors import TooLarge
from store.objects import ObjectWriter

SMALL_BODY = 1 << 20
PIECE = 1 << 20
#: Seconds that a body may take to begin, and the bytes a second that it must have on the whole.
GRACE_SECONDS = 30.0
SLOWEST = 1024.0


#: Media types of a YAML spec, which creating a job takes beside JSON.
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")


def media_type_of(request: Request) -> str:
    """The declared media type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class SmallBodies:
    """Every body but an upload's has to be small JSON: 413 from the declared length, or while it streams; 415."""

    def __init__(self, app: ASGIApp, limit: int = SMALL_BODY) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or takes_files(scope["path"]):
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        has_body = declared not in ("", "0") or "transfer-encoding" in Headers(scope=scope)
        accepted = ("application/json", *(YAML_TYPES if scope["path"] == "/v1/jobs" else ()))
        too_large = declared.isdigit() and int(declared) > self.limit
        if (
            has_body
            and not too_large
            and scope["method"] in ("POST", "PUT", "PATCH")
            and media_type_of(Request(scope)) not in accepted
        ):
            refusal = answer(Request(scope), "unsupported_media_type", f"Send {accepted[0]}.")
            await refusal(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            # An HTTPException, for the framework passes that one through from its own reading of bodies.
            if taken > self.limit or too_large:
                raise HTTPException(413, f"The body may have {self.limit} bytes here.")
            return message

        await self.app(scope, bounded, send)


def takes_files(path: str) -> bool:
    """Whether a route takes large bodies, which it bounds itself."""
    return path.startswith("/v1/uploads") and not path.endswith(("/complete", "/part-links"))


async def small_body(request: Request, limit: int = SMALL_BODY) -> bytes:
    """The whole body of a route that also takes large ones."""
    taken = bytearray()
    async for chunk in request.stream():
        taken += chunk
        if len(taken) > limit:
            raise TooLarge(f"The body may have {limit} bytes here.")
    return bytes(taken)


class Impatience:
    """408 for a body that comes too slowly: ``GRACE_SECONDS`` for its beginning, then at least ``SLOWEST`` bytes a
    second on the whole.
    """

    def __init__(self, app: ASGIApp, grace: float = GRACE_SECONDS) -> None:
        self.app, self.grace = app, grace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        deadline = anyio.current_time() + self.grace
        complete = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"

        async def in_time() -> Message:
            nonlocal deadline, complete
            if complete:
                return await receive()  # waits for the end of the connection, which may take its time
            try:
                with anyio.fail_after(deadline - anyio.current_time()):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, "The body came too slowly. Nothing was kept.") from error
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            deadline += len(message.get("body", b"")) / SLOWEST
            return message

        await self.app(scope, in_time, send)


@dataclass(frozen=True)
class Magic:
    """The first bytes say what a file is; its name and its media type only claim it."""

    kind: str
    wanted: int
    begins: Callable[[bytes], bool]

    def check(self, beginning: bytes) -> None:
        """Raise for first bytes that this route does not accept."""
        if not self.begins(beginning):
            raise ApiError("unsupported_media_type", f"The content does not begin like {self.kind}.")


async def stream_into(writer: ObjectWriter, request: Request, limit: int, magic: Magic | None = None) -> None:
    """Write the body to ``writer`` piece by piece; the caller finishes or aborts it.

    Raises :class:`TooLarge` past ``limit`` bytes, declared or streamed, or what ``magic`` raises for the first bytes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"{declared} bytes were announced; {limit} are allowed.")
    pending = bytearray()
    taken = 0
    async for chunk in request.stream():
        taken += len(chunk)
        if taken > limit:
            raise TooLarge(f"More than the allowed {limit} bytes were sent.")
        pending += chunk
        if magic is not None and len(pending) >= magic.wanted:
            magic.check(bytes(pending[: magic.wanted]))
            magic = None
        if magic is None and len(pending) >= PIECE:
            await run_in_threadpool(writer.write, bytes(pending))
            pending.clear()
    if magic is not None:
        magic.check(bytes(pending))
    if pending:
        await run_in_threadpool(writer.write, bytes(pending))
