"""`offhand keys` against the real service."""

from __future__ import annotations

import json

import pytest

from offhand.commands.keys import lifetime, shown_once
from offhand.errors import ClientError
from offhand.sdk.client import Client
from store.database.database import Database
from store.tenancy.api_keys import identify
from tests.offhand.conftest import Run


def test_a_key_is_made_and_revoked(run: Run, db: Database, client: Client) -> None:
    made = run("keys", "create", "ci", "--scope", "read", "--days", "7")
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    caller = identify(db, secret)
    assert caller is not None
    assert caller.scopes == {"read"}
    (known,) = [key for key in client.keys.list() if key["id"] == caller.key_id]
    assert lifetime(known) == pytest.approx(7, abs=0.01)
    listed = run("keys", "ls").stdout
    assert caller.key_id in listed
    assert secret not in listed
    assert json.loads(run("keys", "revoke", caller.key_id, "--json").stdout)["revoked_at"]
    assert identify(db, secret) is None
    assert f"revoked {known['created_at'][:10]}" in run("keys").stdout


def test_a_key_is_rotated(run: Run, db: Database) -> None:
    old = json.loads(run("keys", "create", "deploy", "--days", "0", "--json").stdout)
    kept = json.loads(run("keys", "rotate", old["id"], "--keep", "--json").stdout)
    assert kept["replaces"] == old["id"]
    assert (kept["name"], kept["scopes"], kept["expires_at"]) == ("deploy", old["scopes"], None)
    assert identify(db, old["key"]) is not None
    new = run("keys", "rotate", old["id"])
    assert identify(db, new.stdout.strip()) is not None
    assert identify(db, old["key"]) is None
    again = run("keys", "rotate", old["id"])
    assert again.exit_code == 1
    assert "revoked already" in again.output


def test_a_key_that_nobody_saw_is_told(run: Run) -> None:
    with pytest.raises(ClientError, match="key_1 was made"):
        shown_once({"id": "key_1", "key": None})
    refused = run("keys", "create", "x", "--scope", "all")
    assert refused.exit_code == 4
    assert "#/scopes/0" in refused.output
