"""No secret stands in the text of a database error: exceptions end in logs, with their causes and their tracebacks."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from store.database.database import Database
from store.database.idempotency import IdempotencyKey, keep, remember_answer
from store.tenancy import api_keys
from store.tenancy.api_keys import create_key, digest_of, identify
from store.tenancy.tenants import add_tenant
from store.webhooks import endpoints
from store.webhooks.deliveries import send_test, take_due
from store.webhooks.endpoints import create_endpoint, rotate_secret

SECRET = "whsec_" + "s3cret" * 6
KEY = "ofh_" + "k3y" * 14
IDEMPOTENCY = IdempotencyKey("once", "d1g3st" * 6)


@pytest.fixture
def endpoint(db: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """An endpoint of the tenant `acme`; every secret that is drawn is SECRET or KEY."""
    monkeypatch.setattr(endpoints, "new_secret", lambda: SECRET)
    monkeypatch.setattr(api_keys.secrets, "token_urlsafe", lambda _bytes: KEY.removeprefix("ofh_"))
    add_tenant(db, "acme")
    with db.write() as connection:
        keep(connection, "acme", IDEMPOTENCY, "key_1")
    return create_endpoint(db, tenant="acme", url="https://93.184.215.14/", description="", events=[]).endpoint.id


#: Each statement that carries a secret, or its digest: who runs it, and its table.
STATEMENTS: dict[str, tuple[str, Callable[[Database, str], Any]]] = {
    "webhook secret made": (
        "webhook_endpoints",
        lambda db, _: create_endpoint(db, tenant="acme", url="https://93.184.215.15/", description="", events=[]),
    ),
    "webhook secret rotated": (
        "webhook_endpoints",
        lambda db, endpoint: rotate_secret(db, endpoint, tenant="acme", overlap_hours=1),
    ),
    "webhook secret used": ("webhook_endpoints", lambda db, endpoint: use_secret(db, endpoint)),
    "API key made": ("api_keys", lambda db, _: create_key(db, tenant="acme", name="x", scopes=["read"], days=1)),
    "API key looked up": ("api_keys", lambda db, _: identify(db, KEY)),
    "answer remembered": (
        "idempotency_keys",
        lambda db, _: remember_answer(db, "acme", IDEMPOTENCY, {"body": {"secret": SECRET}}),
    ),
}


def use_secret(db: Database, endpoint: str) -> None:
    send_test(db, endpoint, tenant="acme")
    take_due(db)


def drop(db: Database, table: str) -> None:
    """Let every statement on the table fail with its parameters."""
    with db.write() as connection:
        cascade = "" if db.is_sqlite else " CASCADE"
        connection.execute(text(f"DROP TABLE {table}{cascade}"))


def refuse_rows(db: Database, table: str) -> None:
    """Let the table refuse every row; PostgreSQL then repeats the row in the lines after its message."""
    with db.write() as connection:
        if not db.is_sqlite:
            connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT none CHECK (false) NOT VALID"))
            return
        for event in ("INSERT", "UPDATE"):
            refusal = f"BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, 'refused'); END"
            connection.execute(text(f"CREATE TRIGGER refuse_{event} {refusal}"))


@pytest.mark.parametrize("spoil", [drop, refuse_rows])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_database_error_holds_no_secret(
    db: Database, endpoint: str, statement: str, spoil: Callable[[Database, str], None]
) -> None:
    table, run = STATEMENTS[statement]
    spoil(db, table)
    written = ""
    try:
        run(db, endpoint)
    except Exception as error:
        written = "".join(traceback.format_exception(error)) + repr(error)
    else:
        assert spoil is refuse_rows, "the statement did not run"
    for secret in (SECRET, KEY, digest_of(KEY), IDEMPOTENCY.fingerprint):
        assert secret not in written


def test_error_of_a_refused_row_keeps_its_first_line(db: Database, endpoint: str) -> None:
    refuse_rows(db, "webhook_endpoints")
    with pytest.raises(Exception, match=r"webhook_endpoints|refused") as caught:
        rotate_secret(db, endpoint, tenant="acme", overlap_hours=1)
    assert SECRET not in str(caught.value)
