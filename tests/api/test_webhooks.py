"""Webhooks from the end of a job to a receiver that checks the signature, with everything that can go wrong between."""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select, update
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.testclient import TestClient

from api.deliverer import Deliverer
from store.database.database import Database
from store.errors import InvalidRequest
from store.jobs import transitions
from store.settings import Settings
from store.tables import webhook_deliveries, webhook_endpoints
from store.webhooks.deliveries import PAUSES, Due, settle, take_due
from store.webhooks.endpoints import create_endpoint
from store.webhooks.sealing import KEY_FILE


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets, answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://hooks.test:{self.server_port}/hook"


class Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    settings.egress.trusted_hosts = [f"hooks.test:{receiver.server_port}"]
    return settings


@pytest.fixture
def deliverer(db: Database) -> Deliverer:
    return Deliverer(db, lookup=here)


@pytest.fixture
def endpoint(db: Database, receiver: Receiver) -> dict[str, Any]:
    made = create_endpoint(db, tenant="local", url=receiver.url, lookup=here)
    return {"id": made.endpoint.id, "secret": made.secret, "path": f"/v1/webhook-endpoints/{made.endpoint.id}"}


@pytest.fixture
def ended(db: Database, start: Callable[..., dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """A job that was canceled, which is an end like any other."""

    def ended() -> dict[str, Any]:
        job = start()
        with db.write() as connection:
            transitions.move_job(connection, job["id"], "canceling")
            transitions.end_job(connection, job["id"], "canceled")
        return job

    return ended


def deliveries(http: TestClient, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get(f"{endpoint['path']}/deliveries").json()["items"]
    return found


def hurry(db: Database) -> None:
    """Make what waits for its next try due now."""
    with db.write() as connection:
        waiting = webhook_deliveries.c.state == "pending"
        connection.execute(update(webhook_deliveries).where(waiting).values(next_at=0.0))


def test_the_end_of_a_job_is_told_and_signed(
    http: TestClient, endpoint: dict[str, Any], deliverer: Deliverer, receiver: Receiver, ended: Callable[[], Any]
) -> None:
    job = ended()
    assert deliverer.deliver_due() == 1
    ((headers, body),) = receiver.got
    told = Webhook(endpoint["secret"]).verify(body, headers)
    assert told["type"] == "job.canceled"
    assert told["data"] == {"job": job["id"], "kind": "generate", "state": "canceled", **job["result"]}
    (delivery,) = deliveries(http, endpoint)
    assert delivery["state"] == "delivered"
    assert delivery["message_id"] == headers["webhook-id"]
    assert delivery["payload"] == json.loads(body)
    assert [(a["status"], a["error"]) for a in delivery["attempts"]] == [(200, None)]
    assert deliverer.deliver_due() == 0
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(body + b" ", headers)


def test_only_what_was_asked_for(db: Database, receiver: Receiver, deliverer: Deliverer, ended: Any) -> None:
    create_endpoint(db, tenant="local", url=receiver.url, events=["job.succeeded"], lookup=here)
    create_endpoint(db, tenant="other", url=receiver.url, lookup=here)
    ended()
    assert deliverer.deliver_due() == 0


@pytest.mark.parametrize("later", ["127.0.0.1", "10.0.0.1", "fec0::1", "::ffff:0:127.0.0.1"])
def test_a_webhook_whose_name_moves_to_a_private_address_is_not_called(
    http: TestClient, db: Database, ended: Callable[[], Any], later: str
) -> None:
    made = create_endpoint(db, tenant="local", url="https://hooks.example/", lookup=lambda *_: ["93.184.216.34"])
    ended()
    assert Deliverer(db, lookup=lambda *_: [later]).deliver_due() == 1
    (delivery,) = deliveries(http, {"path": f"/v1/webhook-endpoints/{made.endpoint.id}"})
    (attempt,) = delivery["attempts"]
    assert (attempt["status"], attempt["error"]) == (None, f"{ipaddress.ip_address(later)} is not a public address")


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_anything_but_success_is_tried_again(
    http: TestClient, db: Database, endpoint: Any, deliverer: Deliverer, receiver: Receiver, ended: Any, status: int
) -> None:
    receiver.status = status
    ended()
    assert deliverer.deliver_due() == 1
    assert deliverer.deliver_due() == 0, "not at once"
    receiver.status = 204
    hurry(db)
    assert deliverer.deliver_due() == 1
    (delivery,) = deliveries(http, endpoint)
    assert delivery["state"] == "delivered"
    assert [a["status"] for a in delivery["attempts"]] == [status, 204]
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]


def test_it_gives_up_after_days(
    http: TestClient, db: Database, endpoint: Any, deliverer: Deliverer, receiver: Receiver, ended: Any
) -> None:
    receiver.status = 500
    ended()
    while deliverer.deliver_due():
        hurry(db)
    (delivery,) = deliveries(http, endpoint)
    assert (delivery["state"], len(delivery["attempts"])) == ("failed", len(PAUSES) + 1)
    assert sum(PAUSES) > 3 * 86400
    receiver.status = 200
    path = f"{endpoint['path']}/deliveries/{delivery['id']}"
    assert http.post(f"{path}/redeliver").status_code == 202
    deliverer.deliver_due()
    assert http.get(path).json()["state"] == "delivered"


def test_gone_disables_the_endpoint(
    http: TestClient, endpoint: Any, deliverer: Deliverer, receiver: Receiver, ended: Any
) -> None:
    receiver.status = 410
    ended()
    ended()
    assert deliverer.deliver_due() == 1, "the second is not tried any more"
    document = http.get(endpoint["path"]).json()
    assert (document["enabled"], document["disabled_reason"]) == (False, "it answered 410 Gone")
    assert {d["state"] for d in deliveries(http, endpoint)} == {"failed"}
    first = deliveries(http, endpoint)[0]["id"]
    assert http.post(f"{endpoint['path']}/deliveries/{first}/redeliver").status_code == 409
    assert http.post(f"{endpoint['path']}/test").status_code == 409
    assert http.patch(endpoint["path"], json={"enabled": True}).json()["enabled"] is True
    receiver.status = 200
    assert http.post(f"{endpoint['path']}/test").status_code == 202
    assert deliverer.deliver_due() == 1


def test_rotation_signs_with_both_secrets(
    http: TestClient, endpoint: Any, deliverer: Deliverer, receiver: Receiver
) -> None:
    newer = http.post(f"{endpoint['path']}/rotate-secret", json={"overlap_hours": 1}).json()["secret"]
    newest = http.post(f"{endpoint['path']}/rotate-secret", json={"overlap_hours": 0}).json()["secret"]
    http.post(f"{endpoint['path']}/test")
    deliverer.deliver_due()
    ((headers, body),) = receiver.got
    assert Webhook(newest).verify(body, headers)["type"] == "webhook.test"
    assert len({endpoint["secret"], newer, newest}) == 3
    assert headers["webhook-signature"].count("v1,") == 1, "no overlap was asked for"
    newer, newest = newest, http.post(f"{endpoint['path']}/rotate-secret").json()["secret"]
    http.post(f"{endpoint['path']}/test")
    deliverer.deliver_due()
    headers, body = receiver.got[-1]
    for secret in (newer, newest):
        assert Webhook(secret).verify(body, headers)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://user:word@example.com/",
        "https://127.0.0.1/",
        "https://10.0.0.8/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.8]/",
        "https://2130706433/",
        "https://localhost/",
    ],
)
def test_targets_that_are_refused_when_the_endpoint_is_made(http: TestClient, url: str, endpoint: Any) -> None:
    for answer in (
        http.post("/v1/webhook-endpoints", json={"url": url}),
        http.patch(endpoint["path"], json={"url": url}),
    ):
        assert answer.status_code == 422
        assert [problem["pointer"] for problem in answer.json()["errors"]] == ["#/url"]


def test_a_name_that_moves_is_refused_when_it_is_used(
    http: TestClient, db: Database, receiver: Receiver, ended: Any
) -> None:
    made = create_endpoint(
        db, tenant="local", url="https://moves.example/", lookup=lambda host, port: ["93.184.216.34"]
    )
    ended()
    Deliverer(db, lookup=lambda host, port: ["127.0.0.1"]).deliver_due()
    (delivery,) = http.get(f"/v1/webhook-endpoints/{made.endpoint.id}/deliveries").json()["items"]
    assert delivery["state"] == "pending"
    assert "not a public address" in delivery["attempts"][0]["error"]
    assert not receiver.got
    with pytest.raises(InvalidRequest):
        create_endpoint(db, tenant="local", url="https://moves.example/", lookup=here)


def test_endpoints_of_another_tenant_are_not_there(http: TestClient, db: Database, receiver: Receiver) -> None:
    path = f"/v1/webhook-endpoints/{create_endpoint(db, tenant='other', url=receiver.url, lookup=here).endpoint.id}"
    assert http.get("/v1/webhook-endpoints").json()["items"] == []
    answers = [
        http.get(path),
        http.patch(path, json={"enabled": False}),
        http.delete(path),
        http.post(f"{path}/rotate-secret"),
        http.post(f"{path}/test"),
        http.get(f"{path}/deliveries"),
        http.get(f"{path}/deliveries/dlv_x"),
        http.post(f"{path}/deliveries/dlv_x/redeliver"),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)


def test_the_secret_is_shown_once(http: TestClient, endpoint: Any) -> None:
    assert endpoint["secret"].startswith("whsec_")
    assert endpoint["secret"] not in http.get(endpoint["path"]).text + http.get("/v1/webhook-endpoints").text


def test_a_delivery_whose_secret_no_key_decrypts_is_kept_and_says_so(
    http: TestClient, db: Database, endpoint: Any, deliverer: Deliverer, receiver: Receiver, ended: Any
) -> None:
    keys = db.settings.home / KEY_FILE
    right = keys.read_text()
    keys.write_text(Fernet.generate_key().decode())
    ended()
    assert deliverer.deliver_due() == 1
    (delivery,) = deliveries(http, endpoint)
    assert delivery["state"] == "pending"
    assert "OFFHAND_WEBHOOKS__KEYS" in delivery["attempts"][0]["error"]
    assert not receiver.got
    keys.write_text(right)
    hurry(db)
    assert deliverer.deliver_due() == 1
    ((headers, body),) = receiver.got
    Webhook(endpoint["secret"]).verify(body, headers)


def test_secrets_stored_in_the_clear_sign_and_are_encrypted_when_a_deliverer_starts(
    db: Database, endpoint: Any, deliverer: Deliverer, receiver: Receiver, ended: Any
) -> None:
    plain = [{"secret": endpoint["secret"], "until": None}]
    with db.write() as connection:
        connection.execute(update(webhook_endpoints).values(secrets=plain))
    ended()
    assert deliverer.deliver_due() == 1
    deliverer.stop()
    deliverer.run()
    with db.read() as connection:
        assert endpoint["secret"] not in str(connection.execute(select(webhook_endpoints.c.secrets)).scalar_one())
    ended()
    deliverer.stopping.clear()
    assert deliverer.deliver_due() == 1
    for headers, body in receiver.got:
        Webhook(endpoint["secret"]).verify(body, headers)


def test_the_number_of_endpoints_is_limited(http: TestClient, db: Database, receiver: Receiver) -> None:
    for _ in range(20):
        create_endpoint(db, tenant="local", url=receiver.url, lookup=here)
    body = {"url": f"http://127.0.0.1:{receiver.server_port}/"}
    db.settings.egress.trusted_hosts.append("127.0.0.1")
    answer = http.post("/v1/webhook-endpoints", json=body)
    assert answer.status_code == 429
    first = http.get("/v1/webhook-endpoints").json()["items"][0]["id"]
    assert http.delete(f"/v1/webhook-endpoints/{first}").status_code == 204
    key = {"Idempotency-Key": "k"}
    made = http.post("/v1/webhook-endpoints", json=body, headers=key)
    again = http.post("/v1/webhook-endpoints", json=body, headers=key)
    assert (made.status_code, again.status_code) == (201, 201)
    assert again.json() == made.json() | {"secret": None}


def test_two_deliverers_write_one_result(db: Database, endpoint: Any, ended: Any) -> None:
    ended()
    due = take_due(db)
    assert isinstance(due, Due)
    assert take_due(db) is None, "it is leased"
    with db.write() as connection:
        connection.execute(update(webhook_deliveries).values(leased_until=0.0))
    second = take_due(db)
    assert second is not None
    assert second.id == due.id
    assert settle(db, second, status=200) == "delivered"
    assert settle(db, due, status=500) == "pending"
    with db.read() as connection:
        row = connection.execute(webhook_deliveries.select()).one()
    assert (row.state, row.tries) == ("delivered", 1)


def test_the_deliverer_stops_when_told(deliverer: Deliverer) -> None:
    thread = threading.Thread(target=deliverer.run)
    thread.start()
    deliverer.stop()
    thread.join(10)
    assert not thread.is_alive()
