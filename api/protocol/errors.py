"""The one table from error code to HTTP, and the handlers that make every error answer one shape.

The library and the store raise their own exceptions with stable codes. They are translated here and nowhere else; a
test walks both trees and fails on a code that is missing from :data:`HTTP`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.protocol.problems import ProblemItem, problem_response
from api.reference.openapi import methods_at, with_head
from store.errors import QuotaExceeded, StoreError

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 5


class Meaning(NamedTuple):
    """Status and title of a code over HTTP."""

    status: int
    title: str


HTTP: dict[str, Meaning] = {
    # This service's own.
    "malformed_request": Meaning(400, "Malformed request"),
    "malformed_body": Meaning(400, "Malformed body"),
    "unauthenticated": Meaning(401, "API key required"),
    "insufficient_scope": Meaning(403, "Insufficient scope"),
    "foreign_origin": Meaning(403, "Cross-origin request refused"),
    "method_not_allowed": Meaning(405, "Method not allowed"),
    "too_slow": Meaning(408, "Request timeout"),
    "idempotency_in_flight": Meaning(409, "Request in progress"),
    "precondition_failed": Meaning(412, "Precondition failed"),
    "unsupported_media_type": Meaning(415, "Unsupported media type"),
    "head_too_large": Meaning(431, "Request header fields too large"),
    "rate_limited": Meaning(429, "Too many requests"),
    "range_not_satisfiable": Meaning(416, "Range not satisfiable"),
    "broken_archive": Meaning(422, "Broken archive"),
    "not_serving": Meaning(503, "Service not ready"),
    "not_implemented": Meaning(501, "Not implemented"),
    "http_error": Meaning(500, "Internal server error"),
    "internal_error": Meaning(500, "Internal server error"),
    # The store's.
    "not_found": Meaning(404, "Not found"),
    "invalid_request": Meaning(422, "Invalid request"),
    "idempotency_key_reused": Meaning(422, "Idempotency key reused"),
    "quota_exceeded": Meaning(429, "Quota exceeded"),
    "not_ready": Meaning(409, "Not ready"),
    "not_resumable": Meaning(409, "Job not resumable"),
    "in_use": Meaning(409, "Resource in use"),
    "built_in": Meaning(409, "Built-in resource"),
    "gone": Meaning(410, "Gone"),
    "digest_mismatch": Meaning(422, "Digest mismatch"),
    "damaged_object": Meaning(404, "Stored file damaged"),
    "too_large": Meaning(413, "Content too large"),
    "storage_full": Meaning(507, "Storage full"),
    "store_unavailable": Meaning(503, "Storage unavailable"),
    "egress_refused": Meaning(422, "URL refused"),
    "egress_failed": Meaning(422, "URL unreachable"),
    "schema_outdated": Meaning(503, "Database migration required"),
    "illegal_transition": Meaning(500, "Internal server error"),
    "store_error": Meaning(500, "Internal server error"),
    # The library's: met in a job's `error`, and mapped for whoever passes one on.
    "error": Meaning(500, "Internal server error"),
    "bad_label_set": Meaning(422, "Invalid label set"),
    "bad_image_set": Meaning(422, "Invalid image set"),
    "bad_generator": Meaning(422, "Invalid generator"),
    "bad_checkpoint": Meaning(422, "Invalid checkpoint"),
    "unsafe_checkpoint": Meaning(422, "Unsafe checkpoint"),
    "inversion_failed": Meaning(422, "Inversion failed"),
    "other_release": Meaning(409, "State of another release"),
    "poor_reconstruction": Meaning(422, "Images that the generator cannot redraw"),
    "bad_labeler": Meaning(422, "Invalid labeler"),
    "bad_sampling": Meaning(422, "Invalid sampling settings"),
    "bad_shard": Meaning(422, "Invalid shard"),
    "shard_changed": Meaning(422, "Shard changed"),
    "bad_evaluation": Meaning(422, "Evaluation not possible"),
    "cannot_resume": Meaning(409, "Checkpoint of another run"),
    "stopped": Meaning(409, "Stopped"),
}


class ApiError(Exception):
    """A request this service refuses by itself. ``code`` stands in :data:`HTTP`."""

    def __init__(
        self,
        code: str,
        detail: str,
        errors: Iterable[ProblemItem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code, self.detail, self.errors, self.headers = code, detail, list(errors), dict(headers or {})
        super().__init__(code, detail)


def answer(
    request: Request,
    code: str,
    detail: str,
    errors: Iterable[ProblemItem] = (),
    headers: Mapping[str, str] | None = None,
    status: int | None = None,
) -> Response:
    """The problem answer for ``code``; what is temporary says when to come back."""
    meaning = HTTP.get(code, HTTP["internal_error"])
    status = status or meaning.status
    headers = dict(headers or {})
    if status in (408, 413, 415):
        # The rest of the body is not wanted: without this the server would read all of it before the next request.
        headers.setdefault("Connection", "close")
    if status in (429, 503, 507):
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    return problem_response(
        status=status,
        code=code,
        title=meaning.title,
        detail=detail,
        instance=request.url.path,
        errors=errors,
        request_id=getattr(request.state, "request_id", None),
        headers=headers,
    )


def pointer_of(location: tuple[Any, ...]) -> str:
    """Where FastAPI found a problem: ``("body", "count")`` → ``#/count``; elsewhere ``query:page_size``."""
    where, *rest = location or ("body",)
    if where == "body":
        return "#" + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in rest)
    return f"{where}:{'.'.join(map(str, rest))}"


def _validation_problems(error: RequestValidationError) -> list[ProblemItem]:
    problems = []
    for found in error.errors():
        location = tuple(found["loc"])
        if found["type"] == "json_invalid":
            location = ("body",)
        problems.append(ProblemItem(detail=found["msg"], pointer=pointer_of(location)))
    return problems


def place_of(pointer: str, method: str) -> str:
    """The store's ``/count`` as ``#/count`` of the body, or ``query:count`` of a GET; a file's name stays as it is."""
    if not pointer.startswith("/"):
        return pointer
    return f"query:{pointer[1:]}" if method == "GET" else f"#{pointer}"


async def on_api_error(request: Request, error: ApiError) -> Response:
    """Answer an error of a route."""
    return answer(request, error.code, error.detail, error.errors, error.headers)


async def on_store_error(request: Request, error: StoreError) -> Response:
    """Answer an error of the store, with headers where its kind has some."""
    if error.code not in HTTP:
        log.error("error.unmapped", code=error.code)
    problems = [ProblemItem(detail=p.detail, pointer=place_of(p.pointer, request.method)) for p in error.problems]
    if HTTP.get(error.code, HTTP["internal_error"]).status >= 500:
        log.warning("store.failed", code=error.code, detail=str(error))
    headers = {}
    if isinstance(error, QuotaExceeded):
        name = error.quota.replace("_", "-")
        headers = {"RateLimit-Policy": f'"{name}";q={error.limit}', "RateLimit": f'"{name}";r=0'}
    return answer(request, error.code, error.detail, problems, headers)


async def on_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Answer a request with invalid fields: every problem at once."""
    problems = _validation_problems(error)
    if any(found["type"] == "json_invalid" for found in error.errors()):
        return answer(request, "malformed_body", "The body is not valid JSON.", problems)
    detail = "; ".join(f"{p.pointer}: {p.detail}" for p in problems)
    return answer(request, "invalid_request", detail, problems)


FRAMEWORK = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_media_type",
}


async def on_http_exception(request: Request, error: HTTPException) -> Response:
    """Answer what the framework itself refuses: unknown routes, wrong methods, unreadable forms."""
    code = FRAMEWORK.get(error.status_code, "http_error")
    detail = {
        404: f"There is nothing at {request.url.path}.",
        405: f"{request.method} is not allowed at {request.url.path}.",
    }.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # The framework names the methods of the first route that matches; there may be more at the same path.
        named = {method.strip() for method in headers.get("Allow", "").split(",")} - {""}
        headers["Allow"] = ", ".join(sorted(with_head(named | methods_at(request.app, request.url.path))))
    return answer(request, code, detail, headers=headers, status=error.status_code)


async def on_disconnect(request: Request, error: ClientDisconnect) -> Response:  # noqa: ARG001 - the handler's signature
    """Answer a client that has disconnected, so that the log has no traceback for it."""
    return answer(request, "malformed_body", "The connection ended before the body did. Nothing was kept.")


def fault(request: Request, error: Exception) -> Response:
    """Answer an unexpected error in the outermost layer, with request id and all headers."""
    log.error("request.fault", path=request.url.path, error=type(error).__name__, exc_info=error)
    return answer(request, "internal_error", "The service made a mistake. It is in the log under this request id.")


def install(app: FastAPI) -> None:
    """Register every handler of this module."""
    handlers: dict[Any, Any] = {
        ApiError: on_api_error,
        StoreError: on_store_error,
        RequestValidationError: on_validation_error,
        HTTPException: on_http_exception,
        ClientDisconnect: on_disconnect,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
