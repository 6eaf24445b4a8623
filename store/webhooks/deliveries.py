"""The outbox of deliveries: written with the end of a job, claimed under a lease, tried again over days."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Connection, and_, delete, exists, insert, or_, select, update

from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.paging import DEFAULT_PAGE, Page, page
from store.errors import NotFound, NotReady
from store.ids import new_id
from store.tables import jobs
from store.tables import webhook_deliveries as table
from store.tables import webhook_endpoints as endpoints
from store.webhooks.endpoints import get_endpoint

#: Seconds to wait before each further try: three days and a half in all.
PAUSES = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: A delivery whose deliverer has died is taken over after so many seconds; longer than any one try takes.
LEASE_SECONDS = 60.0
#: Days that a delivery stays in the log.
_KEEP_DAYS = 30

State = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: the HTTP status of the answer, or why there was none."""

    at: datetime
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one endpoint. `message_id` is the same for every endpoint and every try."""

    id: str
    message_id: str
    type: str
    payload: dict[str, Any]
    state: State
    attempts: tuple[Attempt, ...]
    next_attempt_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is ours to try until its lease ends; `body` is what is signed and sent. `secrets` are as they lie
    in the database: `unseal` them.
    """

    id: str
    tries: int
    endpoint_id: str
    message_id: str
    url: str
    body: bytes
    secrets: tuple[str, ...]
    timestamp: int


def announce(connection: Connection, job_id: str, state: str) -> None:
    """Tell the tenant's endpoints that a job has ended, in the transaction that ends it. The payload is thin: who is
    told asks for the rest with a key of its own.
    """
    job = connection.execute(select(jobs.c.tenant, jobs.c.kind, jobs.c.result).where(jobs.c.id == job_id)).one()
    data = {"job": job_id, "kind": job.kind, "state": state, **job.result}
    _send(connection, job.tenant, f"job.{state}", data)


def send_test(db: Database, endpoint_id: str, *, tenant: str) -> Delivery:
    """A message of type `webhook.test` to one endpoint. Raises NotFound, NotReady when the endpoint is disabled."""
    if get_endpoint(db, endpoint_id, tenant=tenant).disabled_reason:
        raise NotReady("the endpoint is disabled; enable it first")
    with db.write() as connection:
        (sent,) = _send(connection, tenant, "webhook.test", {}, endpoint_id)
    return get_delivery(db, endpoint_id, sent, tenant=tenant)


def _send(
    connection: Connection, tenant: str, kind: str, data: dict[str, Any], endpoint_id: str | None = None
) -> list[str]:
    wanted = [endpoints.c.tenant == tenant, endpoints.c.disabled_reason.is_(None)]
    if endpoint_id is not None:
        wanted.append(endpoints.c.id == endpoint_id)
    listening = [
        row
        for row in connection.execute(select(endpoints.c.id, endpoints.c.events).where(*wanted))
        if endpoint_id or not row.events or kind in row.events
    ]
    if not listening:
        return []
    now = float(connection.execute(select(database_now())).scalar_one())
    payload = {"type": kind, "timestamp": cast(datetime, to_datetime(now)).isoformat(), "data": data}
    common = {"tenant": tenant, "message_id": new_id("msg"), "type": kind, "payload": payload}
    rows = [
        {"id": new_id("dlv"), "endpoint_id": row.id, "state": "pending", "tries": 0, "attempts": [], **common}
        for row in listening
    ]
    connection.execute(insert(table).values(created_at=now, next_at=now), rows)
    return [str(row["id"]) for row in rows]


def take_due(db: Database) -> Due | None:
    """Lease the next delivery that is due, or None. Deliveries to one endpoint go one at a time: a slow endpoint
    does not delay others.
    """
    with db.read() as connection:
        if connection.execute(_DUE.limit(1)).first() is None:
            return None
    lease = database_now() + LEASE_SECONDS
    with db.write() as connection:
        first = _DUE.order_by(table.c.next_at, table.c.id).limit(1).with_for_update(of=table, skip_locked=True)
        row = connection.execute(
            update(table).where(table.c.id == first.scalar_subquery()).values(leased_until=lease).returning(table)
        ).one_or_none()
        if row is None:
            return None
        endpoint = connection.execute(select(endpoints).where(endpoints.c.id == row.endpoint_id)).one()
        now = float(connection.execute(select(database_now())).scalar_one())
    return Due(
        id=row.id,
        tries=row.tries,
        endpoint_id=row.endpoint_id,
        message_id=row.message_id,
        url=endpoint.url,
        body=json.dumps(row.payload, separators=(",", ":")).encode(),
        secrets=tuple(s["secret"] for s in endpoint.secrets if s["until"] is None or s["until"] > now),
        timestamp=int(now),
    )


def settle(db: Database, due: Due, *, status: int | None, error: str | None = None) -> State:
    """Write down how a try ended: 2xx is delivered, 410 disables the endpoint, all else is tried again later, until the
    pauses are used up. Says what became of the delivery.
    """
    delivered = status is not None and 200 <= status < 300
    with db.write() as connection:
        mine = and_(table.c.id == due.id, table.c.tries == due.tries, table.c.state == "pending")
        row = connection.execute(select(table).where(mine).with_for_update()).one_or_none()
        if row is None:
            return "pending"  # its lease ended and another deliverer was faster
        now = float(connection.execute(select(database_now())).scalar_one())
        state: State = "delivered" if delivered else "pending"
        if not delivered and (status == 410 or due.tries >= len(PAUSES)):
            state = "failed"
        # A little earlier or later than planned: what failed together need not come back together.
        pause = PAUSES[min(due.tries, len(PAUSES) - 1)] * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        connection.execute(
            update(table)
            .where(mine)
            .values(
                state=state,
                tries=due.tries + 1,
                attempts=[*row.attempts, {"at": now, "status": status, "error": error}],
                next_at=now + pause if state == "pending" else None,
                leased_until=None,
            )
        )
        if status == 410:
            _disable(connection, due.endpoint_id)
    return state


def get_delivery(db: Database, endpoint_id: str, delivery_id: str, *, tenant: str) -> Delivery:
    """One delivery. Raises NotFound."""
    with db.read() as connection:
        row = connection.execute(select(table).where(*_mine(endpoint_id, delivery_id, tenant))).one_or_none()
    if row is None:
        raise NotFound(f"no delivery {delivery_id!r}")
    return _delivery(row)


def list_deliveries(
    db: Database,
    endpoint_id: str,
    *,
    tenant: str,
    state: State | None = None,
    page_size: int = DEFAULT_PAGE,
    page_token: str | None = None,
) -> Page[Delivery]:
    """Deliveries to an endpoint, newest first. Raises NotFound, InvalidRequest for a bad token."""
    get_endpoint(db, endpoint_id, tenant=tenant)
    query = select(table).where(table.c.endpoint_id == endpoint_id, table.c.tenant == tenant)
    if state is not None:
        query = query.where(table.c.state == state)
    with db.read() as connection:
        return page(connection, query, table, _delivery, page_size=page_size, page_token=page_token)


def redeliver(db: Database, endpoint_id: str, delivery_id: str, *, tenant: str) -> Delivery:
    """Send the same message again, now, with all its tries before it. Raises NotFound, NotReady when the endpoint is
    disabled.
    """
    delivery = get_delivery(db, endpoint_id, delivery_id, tenant=tenant)
    if get_endpoint(db, endpoint_id, tenant=tenant).disabled_reason:
        raise NotReady("the endpoint is disabled; enable it first")
    with db.write() as connection:
        connection.execute(
            update(table)
            .where(table.c.id == delivery.id)
            .values(state="pending", tries=0, next_at=database_now(), leased_until=None)
        )
    return get_delivery(db, endpoint_id, delivery_id, tenant=tenant)


def sweep(db: Database) -> int:
    """Forget deliveries that are over and old; the number forgotten."""
    old = table.c.created_at < database_now() - _KEEP_DAYS * 86400.0
    with db.write() as connection:
        return connection.execute(delete(table).where(old, table.c.state != "pending")).rowcount


def _due() -> Any:
    busy = table.alias("busy")
    now = database_now()
    taken = exists().where(busy.c.endpoint_id == table.c.endpoint_id, busy.c.leased_until > now)
    return (
        select(table.c.id)
        .join(endpoints, endpoints.c.id == table.c.endpoint_id)
        .where(table.c.state == "pending", table.c.next_at <= now, endpoints.c.disabled_reason.is_(None))
        .where(or_(table.c.leased_until.is_(None), table.c.leased_until <= now), ~taken)
    )


_DUE = _due()


def _disable(connection: Connection, endpoint_id: str) -> None:
    gone = "it answered 410 Gone"
    connection.execute(update(endpoints).where(endpoints.c.id == endpoint_id).values(disabled_reason=gone))
    waiting = and_(table.c.endpoint_id == endpoint_id, table.c.state == "pending")
    connection.execute(update(table).where(waiting).values(state="failed", next_at=None, leased_until=None))


def _mine(endpoint_id: str, delivery_id: str, tenant: str) -> tuple[Any, Any, Any]:
    return table.c.id == delivery_id, table.c.endpoint_id == endpoint_id, table.c.tenant == tenant


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=row.id,
        message_id=row.message_id,
        type=row.type,
        payload=row.payload,
        state=row.state,
        attempts=tuple(
            Attempt(cast(datetime, to_datetime(tried["at"])), tried["status"], tried["error"]) for tried in row.attempts
        ),
        next_attempt_at=to_datetime(row.next_at),
        created_at=cast(datetime, to_datetime(row.created_at)),
    )
