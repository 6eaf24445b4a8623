"""Webhook endpoints: where a tenant wants to be told, about what, and the secrets that sign it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from store.database import idempotency
from store.database.clock import database_now, to_datetime
from store.database.database import Database
from store.database.idempotency import IdempotencyKey
from store.database.paging import DEFAULT_PAGE, Page, page
from store.egress import Lookup, check_url, look_up, resolve
from store.errors import EgressFailed, EgressRefused, InvalidRequest, NotFound, Problem, QuotaExceeded
from store.ids import new_id
from store.tables import webhook_deliveries as deliveries
from store.tables import webhook_endpoints as table
from store.tenancy.tenants import lock_tenant
from store.webhooks.sealing import seal
from store.webhooks.signing import new_secret

MAX_ENDPOINTS = 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`events`: types it is told about, empty for all. `disabled_reason`: why it is told nothing, if so."""

    id: str
    url: str
    description: str
    events: tuple[str, ...]
    disabled_reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CreatedEndpoint:
    """An endpoint; `secret` is shown this once, and never when `replayed`."""

    endpoint: Endpoint
    secret: str | None
    replayed: bool


def create_endpoint(
    db: Database,
    *,
    tenant: str,
    url: str,
    description: str = "",
    events: Sequence[str] = (),
    idempotency_key: IdempotencyKey | None = None,
    lookup: Lookup = look_up,
) -> CreatedEndpoint:
    """A new endpoint with a fresh secret. Raises InvalidRequest for a URL that is not called from here, QuotaExceeded,
    IdempotencyMismatch, StoreUnavailable.
    """
    _check_target(db, url, lookup)
    endpoint_id, secret = new_id("whe"), new_secret()
    sealed = seal(db.settings, secret)
    values = {"id": endpoint_id, "tenant": tenant, "url": url, "description": description, "events": list(events)}
    for _ in range(2):
        try:
            with db.write() as connection:
                lock_tenant(connection, tenant)
                replay = idempotency.find(connection, tenant, idempotency_key)
                if replay is None:
                    count = select(func.count()).select_from(table).where(table.c.tenant == tenant)
                    if connection.execute(count).scalar_one() >= MAX_ENDPOINTS:
                        raise QuotaExceeded(
                            f"{MAX_ENDPOINTS} endpoints are the limit", quota="webhook_endpoints", limit=MAX_ENDPOINTS
                        )
                    idempotency.keep(connection, tenant, idempotency_key, endpoint_id)
                    secrets = [{"secret": sealed, "until": None}]
                    connection.execute(insert(table).values(created_at=database_now(), secrets=secrets, **values))
            break
        except IntegrityError:
            continue
    else:
        raise idempotency.unsettled()
    if replay is not None:
        return CreatedEndpoint(get_endpoint(db, replay.resource_id, tenant=tenant), None, True)
    return CreatedEndpoint(get_endpoint(db, endpoint_id, tenant=tenant), secret, False)


def get_endpoint(db: Database, endpoint_id: str, *, tenant: str) -> Endpoint:
    """One endpoint. Raises NotFound."""
    with db.read() as connection:
        row = connection.execute(select(table).where(*_mine(endpoint_id, tenant))).one_or_none()
    if row is None:
        raise NotFound(f"no webhook endpoint {endpoint_id!r}")
    return _endpoint(row)


def list_endpoints(
    db: Database, *, tenant: str, page_size: int = DEFAULT_PAGE, page_token: str | None = None
) -> Page[Endpoint]:
    """Endpoints, newest first. Raises InvalidRequest for a bad token."""
    with db.read() as connection:
        query = select(table).where(table.c.tenant == tenant)
        return page(connection, query, table, _endpoint, page_size=page_size, page_token=page_token)


def update_endpoint(
    db: Database,
    endpoint_id: str,
    *,
    tenant: str,
    url: str | None = None,
    description: str | None = None,
    events: Sequence[str] | None = None,
    enabled: bool | None = None,
    lookup: Lookup = look_up,
) -> Endpoint:
    """Change what is given. Raises NotFound, InvalidRequest."""
    values: dict[str, Any] = {}
    if url is not None:
        _check_target(db, url, lookup)
        values["url"] = url
    if description is not None:
        values["description"] = description
    if events is not None:
        values["events"] = list(events)
    if enabled is not None:
        values["disabled_reason"] = None if enabled else "switched off"
    get_endpoint(db, endpoint_id, tenant=tenant)
    if values:
        with db.write() as connection:
            connection.execute(update(table).where(*_mine(endpoint_id, tenant)).values(**values))
    return get_endpoint(db, endpoint_id, tenant=tenant)


def rotate_secret(db: Database, endpoint_id: str, *, tenant: str, overlap_hours: float) -> str:
    """A new secret; those before it go on signing for `overlap_hours`. Raises NotFound."""
    secret = new_secret()
    sealed = seal(db.settings, secret)
    with db.write() as connection:
        row = connection.execute(select(table).where(*_mine(endpoint_id, tenant)).with_for_update()).one_or_none()
        if row is None:
            raise NotFound(f"no webhook endpoint {endpoint_id!r}")
        now = float(connection.execute(select(database_now())).scalar_one())
        end = now + 3600.0 * overlap_hours
        older = [{**old, "until": min(end, old["until"] or end)} for old in row.secrets]
        kept = [{"secret": sealed, "until": None}, *(old for old in older if old["until"] > now)]
        connection.execute(update(table).where(table.c.id == endpoint_id).values(secrets=kept))
    return secret


def delete_endpoint(db: Database, endpoint_id: str, *, tenant: str) -> None:
    """Forget an endpoint with its secrets and its log. Raises NotFound."""
    with db.write() as connection:
        gone = connection.execute(delete(table).where(*_mine(endpoint_id, tenant)).returning(table.c.id)).one_or_none()
        if gone is None:
            raise NotFound(f"no webhook endpoint {endpoint_id!r}")
        connection.execute(delete(deliveries).where(deliveries.c.endpoint_id == endpoint_id))


def _mine(endpoint_id: str, tenant: str) -> tuple[Any, Any]:
    return table.c.id == endpoint_id, table.c.tenant == tenant


def _check_target(db: Database, url: str, lookup: Lookup) -> None:
    try:
        resolve(check_url(url, trusted_hosts=db.settings.egress.trusted_hosts), lookup=lookup)
    except (EgressRefused, EgressFailed) as error:
        raise InvalidRequest("this URL cannot be an endpoint", [Problem(error.detail, "/url")]) from error


def _endpoint(row: Any) -> Endpoint:
    return Endpoint(
        id=row.id,
        url=row.url,
        description=row.description,
        events=tuple(row.events),
        disabled_reason=row.disabled_reason,
        created_at=cast(datetime, to_datetime(row.created_at)),
    )
