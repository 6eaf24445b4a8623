"""Keys: who may come in, what for, how often; and the program that makes the first one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from api import keys as program
from api.app import create_app
from store.database.database import Database
from store.settings import Settings
from store.tables import api_keys
from store.tenancy.api_keys import create_key
from store.tenancy.tenants import add_tenant, set_limits

Enter = Callable[..., TestClient]


@pytest.fixture
def guarded(settings: Settings) -> Settings:
    settings.api.keys = "required"
    return settings


@pytest.fixture
def enter(guarded: Settings, db: Database) -> Iterator[Enter]:
    """A client with a key of its own: `enter("acme", "write")`."""
    app = create_app(guarded)
    clients = []

    def enter(tenant: str = "acme", scope: Any = "admin", *, secret: str | None = None) -> TestClient:
        if secret is None:
            add_tenant(db, tenant)
            secret = create_key(db, tenant=tenant, name="test", scopes=[scope], days=1).secret
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        client = TestClient(app, base_url="http://offhand.test", raise_server_exceptions=False, headers=headers)
        clients.append(client)
        return client

    yield enter
    for client in clients:
        client.close()
    app.state.backend.close()


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/uploads/upl_x", "/v1/nothing", "/", "/jobs/job_x"])
def test_nothing_is_told_without_a_key(enter: Enter, path: str) -> None:
    answer = enter(secret="").get(path)
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer" if path.startswith("/v1/") else "Basic")


@pytest.mark.parametrize("secret", ["ofh_wrong", "x" * 5000, "ofh_" + "é" * 3, "key_1"])
def test_wrong_keys(enter: Enter, secret: str) -> None:
    client = enter(secret="")
    answer = client.get("/v1/jobs", headers=[(b"Authorization", f"Bearer {secret}".encode())])
    assert answer.status_code == 401


def test_a_body_is_not_read_before_the_key(enter: Enter) -> None:
    answer = enter(secret="").post("/v1/jobs", content=b"{not json", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_health_and_the_document_are_open(enter: Enter) -> None:
    client = enter(secret="")
    assert client.get("/healthz").status_code == 200
    assert client.get("/openapi.json").json()["security"] == [{"ApiKey": []}]
    assert client.get("/static/icon.svg").status_code == 200


@pytest.mark.parametrize(
    ("scope", "reads", "writes", "manages"),
    [("read", 200, 403, 403), ("write", 200, 422, 403), ("admin", 200, 422, 200)],
)
def test_scopes(enter: Enter, scope: str, reads: int, writes: int, manages: int) -> None:
    client = enter("acme", scope)
    assert client.get("/v1/jobs").status_code == reads
    assert client.post("/v1/jobs", json={}).status_code == writes
    assert client.get("/v1/api-keys").status_code == manages
    assert client.get("/v1/quota").status_code == 200


def test_a_key_is_shown_once_and_kept_as_a_digest(enter: Enter, db: Database) -> None:
    admin = enter()
    wish = {"name": "ci", "scopes": ["write"], "expires_in_days": 7}
    made = admin.post("/v1/api-keys", json=wish, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201, made.text
    secret = made.json()["key"]
    assert len(secret) > 40
    assert made.headers["cache-control"] == "no-store"
    again = admin.post("/v1/api-keys", json=wish, headers={"Idempotency-Key": "one"})
    assert again.json() == made.json() | {"key": None}
    assert again.headers["idempotent-replayed"] == "true"
    assert admin.get(made.headers["location"]).json()["scopes"] == ["read", "write"]
    assert secret not in admin.get("/v1/api-keys").text
    with db.read() as connection:
        rows = connection.execute(select(api_keys)).all()
    assert secret not in repr(rows)
    assert enter(secret=secret).get("/v1/jobs").status_code == 200


def test_a_revoked_key_is_over_at_once(enter: Enter) -> None:
    admin = enter()
    made = admin.post("/v1/api-keys", json={"name": "ci"}).json()
    assert admin.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    assert admin.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    assert enter(secret=made["key"]).get("/v1/jobs").status_code == 401
    assert admin.get(f"/v1/api-keys/{made['id']}").json()["revoked_at"]


def test_an_expired_key_is_over(enter: Enter, db: Database) -> None:
    admin = enter()
    with db.write() as connection:
        connection.execute(update(api_keys).values(expires_at=api_keys.c.created_at - 1))
    assert admin.get("/v1/jobs").status_code == 401


def test_keys_of_another_tenant_are_not_there(enter: Enter) -> None:
    mine = enter("acme").post("/v1/api-keys", json={"name": "ci"}).json()["id"]
    other = enter("other")
    absent = other.get("/v1/api-keys/key_absent").json()
    for answer in (other.get(f"/v1/api-keys/{mine}"), other.delete(f"/v1/api-keys/{mine}")):
        assert answer.status_code == 404
        assert answer.json()["detail"].replace(mine, "key_absent") == absent["detail"]


def test_a_browser_may_read_with_the_key_as_password(enter: Enter, db: Database) -> None:
    add_tenant(db, "acme")
    secret = create_key(db, tenant="acme", name="person", scopes=["write"], days=1).secret
    basic = {"Authorization": "Basic " + base64.b64encode(f"me:{secret}".encode()).decode()}
    client = enter(secret="")
    assert client.get("/", headers=basic).status_code == 200
    assert client.post("/v1/jobs", json={}, headers=basic).status_code == 401
    assert client.get("/", headers={"Authorization": "Basic %%%"}).status_code == 401


def test_the_rate_is_counted_for_each_tenant(enter: Enter, db: Database) -> None:
    busy, calm = enter("busy"), enter("calm")
    set_limits(db, "busy", {"requests_per_minute": 5})
    first = busy.get("/v1/jobs")
    assert first.headers["ratelimit-policy"] == '"requests";q=5;w=60'
    assert first.headers["ratelimit"].startswith('"requests";r=4;t=')
    refused = [busy.get("/v1/jobs") for _ in range(9)][-1]
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert calm.get("/v1/jobs").status_code == 200


def wrong_keys(client: TestClient, keys: Iterable[str], **headers: str) -> list[int]:
    """The status of a request with each of these keys."""
    return [client.get("/v1/quota", headers={"Authorization": f"Bearer {k}", **headers}).status_code for k in keys]


def test_trying_keys_is_slowed_down(enter: Enter) -> None:
    statuses = wrong_keys(enter(secret=""), ["ofh_guess"] * 70)
    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_wrong_keys_never_lock_out_a_valid_one(enter: Enter) -> None:
    valid, attacker = enter(), enter(secret="")
    wrong_keys(attacker, ["ofh_x"] * 70)
    assert valid.get("/v1/quota").status_code == 200
    wrong_keys(attacker, [f"ofh_{i:06}" for i in range(150)])
    assert valid.get("/v1/quota").status_code == 200


def test_wrong_keys_are_counted_by_their_beginning(enter: Enter) -> None:
    client = enter(secret="")
    assert wrong_keys(client, ["ofh_forgotten"] * 70)[-1] == 429
    assert wrong_keys(client, ["ofh_mistyped"]) == [401], "another caller behind the same address is told the cause"


def test_flood_of_random_wrong_keys_is_limited(enter: Enter) -> None:
    statuses = wrong_keys(enter(secret=""), [f"ofh_{i:06}" for i in range(130)])
    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_wrong_keys_are_counted_by_the_address_behind_a_trusted_proxy(guarded: Settings) -> None:
    guarded.api.trusted_proxies = [ip_network("10.0.0.1")]
    with TestClient(create_app(guarded), base_url="http://offhand.test", client=("10.0.0.1", 1)) as proxy:
        assert wrong_keys(proxy, ["ofh_guess"] * 61, **{"X-Forwarded-For": "198.51.100.1"})[-1] == 429
        assert wrong_keys(proxy, ["ofh_guess"], **{"X-Forwarded-For": "198.51.100.2"}) == [401]
        assert wrong_keys(proxy, ["ofh_guess"], **{"X-Forwarded-For": "198.51.100.2, 198.51.100.1"}) == [429]


def test_a_tenant_has_limits_of_its_own(enter: Enter, db: Database, archive: bytes) -> None:
    client = enter("small")
    set_limits(db, "small", {"queued_jobs": 1, "images_per_job": 50, "upload_bytes": 10_000})
    quota = {item["name"]: item for item in client.get("/v1/quota").json()["items"]}
    assert quota["queued_jobs"] == {"name": "queued_jobs", "limit": 1, "used": 0}
    labels = client.post("/v1/uploads", content=archive, headers={"Content-Type": "application/zip"}).json()["id"]
    wish = {"labels": labels, "generator": "tiny", "count": 20}
    assert client.post("/v1/jobs", json=wish | {"count": 51}).status_code == 422
    first = client.post("/v1/jobs", json=wish)
    assert first.status_code == 202
    second = client.post("/v1/jobs", json=wish)
    assert second.status_code == 429
    assert second.headers["ratelimit"] == '"queued-jobs";r=0'
    assert second.headers["ratelimit-policy"] == '"queued-jobs";q=1'
    assert "retry-after" in second.headers
    client.post(f"/v1/jobs/{first.json()['id']}/cancel")
    assert client.post("/v1/jobs", json=wish).status_code == 202, "a job that has ended gives its quota back"
    big = {"Content-Type": "application/zip", "Content-Length": "20000"}
    assert client.post("/v1/uploads", content=b"PK\x03\x04" + bytes(19_996), headers=big).status_code == 413


def test_without_keys_there_is_one_tenant(http: TestClient) -> None:
    answer = http.get("/v1/jobs")
    assert answer.status_code == 200
    assert "ratelimit" not in answer.headers


def test_an_address_that_others_reach_needs_keys(settings: Settings) -> None:
    settings.api.host = "0.0.0.0"
    with TestClient(create_app(settings), base_url="http://offhand.test") as client:
        assert client.get("/v1/jobs").status_code == 401


def test_the_first_key_is_made_on_the_machine(
    enter: Enter, guarded: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OFFHAND_HOME", str(guarded.home))
    assert program.main(["create", "--tenant", "acme", "--name", "boot"]) == 0
    secret = capsys.readouterr().out.strip()
    client = enter(secret=secret)
    key = client.get("/v1/api-keys").json()["items"][0]
    assert (key["name"], key["scopes"]) == ("boot", ["read", "write", "admin"])
    assert program.main(["limit", "--tenant", "acme", "queued_jobs=3"]) == 0
    assert program.main(["list"]) == 0
    listing = capsys.readouterr().out
    assert key["id"] in listing
    assert '{"queued_jobs": 3}' in listing
    assert secret not in listing
    assert program.main(["revoke", "--tenant", "acme", key["id"]]) == 0
    assert client.get("/v1/jobs").status_code == 401
    assert program.main(["revoke", "--tenant", "acme", "key_absent"]) == 1
