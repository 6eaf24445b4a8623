"""The log of a job: in pages, or as it grows (server-sent events)."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Request
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from api.backend import Db, backend_of
from api.live_logs import LiveLogs, News
from api.protocol.paging import NumberToken, PageSize, coerced, position_of, token_for
from api.protocol.problems import documented
from api.schemas.base import ListOf
from api.schemas.events import Event
from api.security.scopes import Tenant
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE
from store.errors import StoreUnavailable
from store.jobs import events as stored
from store.jobs.views import job_view

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

HEARTBEAT_SECONDS = 15.0
BATCH = 200
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of the log; with `Accept: text/event-stream` what follows `Last-Event-ID`, as it comes.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "For a stream that reconnects: the job has ended and all events were sent."},
}


@router.get("/{job_id}/events", response_model=ListOf[Event], responses=STREAM | documented(404, 422))
async def list_job_events(
    job_id: str,
    request: Request,
    db: Db,
    tenant: Tenant,
    page_size: PageSize = DEFAULT_PAGE,
    page_token: NumberToken = None,
    last_event_id: Annotated[str | None, Header(description="For a stream: the last number that was received.")] = None,
) -> Response:
    """Events of a job, oldest first. Numbers have no gaps."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return await _stream(request, db, tenant, job_id, after=event_number(last_event_id))
    return await run_in_threadpool(_page, db, tenant, job_id, coerced(page_size), page_token)


def event_number(last_event_id: str | None) -> int:
    """The number a reader saw last. What is not one of our numbers means from the start, as for a reader without it."""
    if last_event_id and last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 16:
        return int(last_event_id)
    return 0


def _page(db: Database, tenant: str, job_id: str, size: int, token: str | None) -> Response:
    after = position_of(token)
    found = stored.events(db, job_id, tenant=tenant, after=after, limit=size + 1)
    items = [Event.model_validate(event) for event in found[:size]]
    more = token_for(items[-1].number) if len(found) > size else None
    return JSONResponse(ListOf[Event](items=items, next_page_token=more).model_dump(mode="json"))


async def _stream(request: Request, db: Database, tenant: str, job_id: str, after: int) -> Response:
    first = await run_in_threadpool(_look, db, tenant, job_id, after)  # 404 before the stream begins
    if first.over and not first.events:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    told = _follow(backend_of(request).logs, db, tenant, job_id, after, first)
    return StreamingResponse(told, media_type="text/event-stream", headers=headers)


def _look(db: Database, tenant: str, job_id: str, after: int) -> News:
    # The state first: an event that is written between the two reads is then never missed.
    terminal = job_view(db, job_id, tenant=tenant).terminal
    found = stored.events(db, job_id, tenant=tenant, after=after, limit=BATCH)
    more = len(found) == BATCH
    return News(terminal and not more, found, more)


async def _follow(
    logs: LiveLogs, db: Database, tenant: str, job_id: str, after: int, news: News
) -> AsyncIterator[bytes]:
    silent_since = anyio.current_time()
    last = news.events[-1].number if news.events else after
    with logs.listening(tenant, job_id, lambda number: _look(db, tenant, job_id, number), last) as log:
        while True:
            for event in news.events:
                after = event.number
                data = Event.model_validate(event).model_dump_json()
                yield format_sse_event(data_str=data, event=event.name, id=str(event.number))
                silent_since = anyio.current_time()
            if news.over:
                return
            silence = anyio.current_time() - silent_since
            if silence >= HEARTBEAT_SECONDS:
                yield KEEPALIVE_COMMENT
                silent_since, silence = anyio.current_time(), 0.0
            try:
                if news.more:
                    news = await run_in_threadpool(_look, db, tenant, job_id, after)
                else:
                    news = await log.after(after, HEARTBEAT_SECONDS - silence)
            except StoreUnavailable:
                return  # the stream ends, and its reader reconnects with Last-Event-ID
