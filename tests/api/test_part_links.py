"""Parts that go straight to the object store: links for them, what has come, and what is made of it in the end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from api.app import create_app
from store import tables
from store.database.clock import database_now
from store.database.database import Database
from store.objects import ObjectStore, open_objects
from store.objects.s3.store import S3Objects
from store.resources.files import get_file
from store.settings import Settings
from store.sweep import sweep
from tests.api.protocol.test_errors import problem
from tests.api.test_uploads import announced
from tests.servers import S3Server

PART = 5 * 1024**2
#: Begins like a pickled checkpoint; two parts and a bit.
CONTENT = b"\x80\x04" + sha256(b"large").digest() * (2 * PART // 32) + b"the rest"
PARTS = {number: CONTENT[at : at + PART] for number, at in enumerate(range(0, len(CONTENT), PART), start=1)}
BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def settings(settings: Settings, s3_server: S3Server) -> Settings:
    """The same data folder, with its objects in a bucket of its own."""
    return settings.model_copy(update={"objects": s3_server.settings(f"test-{uuid.uuid4().hex}")})


@pytest.fixture
def storage() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


@pytest.fixture
def pending(http: TestClient) -> dict[str, Any]:
    answer = http.post("/v1/uploads", json=announced(CONTENT, filename="net.pkl", purpose="checkpoint"))
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def links(http: TestClient, pending: dict[str, Any], *numbers: int) -> Any:
    wish = [{"number": number, "md5": md5(PARTS.get(number, b"")).hexdigest()} for number in numbers]
    return http.post(pending["urls"]["part_links"], json={"parts": wish})


def send(http: TestClient, storage: httpx.Client, pending: dict[str, Any], *numbers: int) -> None:
    for link in links(http, pending, *numbers).json()["items"]:
        content = PARTS[link["number"]]
        storage.put(link["url"], content=content, headers=link["headers"]).raise_for_status()


def complete(http: TestClient, pending: dict[str, Any]) -> Any:
    return http.post(pending["urls"]["complete"], json={})


def kept(objects: ObjectStore) -> list[int]:
    """Sizes of all objects; parts that are under way are none yet."""
    return [found.bytes for found in objects.list()]


def test_parts_in_any_order_become_the_file(
    http: TestClient, storage: httpx.Client, pending: dict[str, Any], db: Database, objects: ObjectStore
) -> None:
    assert (pending["part_size"], len(PARTS)) == (PART, 3)
    answer = links(http, pending, 3, 1)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert [(item["number"], item["size"]) for item in document["items"]] == [(3, len(PARTS[3])), (1, PART)]
    left = datetime.fromisoformat(document["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(minutes=60)
    for item in document["items"]:
        storage.put(item["url"], content=PARTS[item["number"]], headers=item["headers"]).raise_for_status()
    listed = http.get(pending["urls"]["parts"]).json()["items"]
    assert listed == [
        {"number": number, "size": len(PARTS[number]), "sha256": None, "md5": md5(PARTS[number]).hexdigest()}
        for number in (1, 3)
    ]
    send(http, storage, pending, 2)
    first = http.get(pending["urls"]["parts"], params={"page_size": 2}).json()
    rest = http.get(pending["urls"]["parts"], params={"page_token": first["next_page_token"]}).json()
    assert [part["number"] for part in first["items"] + rest["items"]] == [1, 2, 3]
    answer = complete(http, pending)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "complete"
    assert (answer.json()["part_size"], answer.json()["urls"]["part_links"]) == (None, None)
    file = get_file(db, pending["id"], "content", tenant="local")
    assert file.sha256 == sha256(CONTENT).hexdigest()
    assert b"".join(objects.read(file.key)) == CONTENT
    sweep(db, objects)
    assert kept(objects) == [len(CONTENT)]
    assert complete(http, pending).json() == answer.json(), "a second time it answers alike"
    problem(links(http, pending, 1), 409, "not_ready")


def test_the_example_of_the_document_runs(http: TestClient, pending: dict[str, Any]) -> None:
    operation = http.get("/openapi.json").json()["paths"]["/v1/uploads/{upload_id}/part-links"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    (example,) = schema["examples"]
    assert http.post(pending["urls"]["part_links"], json=example).status_code == 200


def test_parts_that_are_missing_or_short_are_named_and_the_others_stay(
    http: TestClient, storage: httpx.Client, pending: dict[str, Any]
) -> None:
    problem(complete(http, pending), 422, "invalid_request")
    (link,) = links(http, pending, 2).json()["items"]
    # moto holds nothing against the signed length.
    storage.put(link["url"], content=PARTS[2][:-1], headers={"Content-MD5": link["headers"]["Content-MD5"]})
    document = problem(complete(http, pending), 422, "invalid_request")
    assert [error["detail"] for error in document["errors"]] == [
        "part 1 has not been sent",
        f"part 2 has {PART - 1} bytes and should have {PART}: send it again",
        "part 3 has not been sent",
    ]
    send(http, storage, pending, 1, 2, 3)
    assert complete(http, pending).status_code == 200


def test_parts_that_are_not_the_file_are_forgotten(
    http: TestClient, storage: httpx.Client, pending: dict[str, Any], db: Database, objects: ObjectStore
) -> None:
    send(http, storage, pending, 1, 2)
    (link,) = links(http, pending, 3).json()["items"]
    storage.put(link["url"], content=bytes(len(PARTS[3])), headers=link["headers"])
    document = problem(complete(http, pending), 422, "digest_mismatch")
    assert document["detail"].endswith("send all parts again")
    assert (kept(objects), objects.sweep_unfinished(-2)) == ([], 0)
    assert http.get(pending["urls"]["parts"]).json()["items"] == []
    assert http.get(pending["urls"]["self"]).json()["state"] == "pending"
    send(http, storage, pending, 1, 2, 3)
    assert complete(http, pending).json()["state"] == "complete"


def test_flipped_bit_in_one_answer_of_the_storage_costs_no_part(
    http: TestClient, storage: httpx.Client, pending: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    send(http, storage, pending, 1, 2, 3)
    read, flipped = S3Objects.read, []

    def flaky(self: S3Objects, key: str, **more: Any) -> Iterator[bytes]:
        chunks = read(self, key, **more)
        if not flipped:
            flipped.append(key)
            first = bytearray(next(chunks))
            first[5] ^= 1
            yield bytes(first)
        yield from chunks

    monkeypatch.setattr(S3Objects, "read", flaky)
    assert complete(http, pending).json()["state"] == "complete"
    assert flipped


def test_what_is_no_archive_is_refused_in_the_end(
    http: TestClient, storage: httpx.Client, objects: ObjectStore
) -> None:
    content = b"GIF89a" + bytes(1000)
    pending = http.post("/v1/uploads", json=announced(content)).json()
    wish = {"parts": [{"number": 1, "md5": md5(content).hexdigest()}]}
    (link,) = http.post(pending["urls"]["part_links"], json=wish).json()["items"]
    storage.put(link["url"], content=content, headers=link["headers"]).raise_for_status()
    problem(complete(http, pending), 415, "unsupported_media_type")
    assert (kept(objects), objects.sweep_unfinished(-2)) == ([], 0)


def test_what_the_file_does_not_have_is_refused(http: TestClient, pending: dict[str, Any]) -> None:
    document = problem(links(http, pending, 4, 1, 9_999), 422, "invalid_request")
    assert [error["pointer"] for error in document["errors"]] == ["#/parts/0/number", "#/parts/2/number"]
    path = pending["urls"]["part_links"]
    problem(http.post(path, json={"parts": []}), 422, "invalid_request")
    problem(http.post(path, json={"parts": [{"number": 1, "md5": "0"}]}), 422, "invalid_request")
    problem(http.post("/v1/uploads/upl_none/part-links", json={"parts": []}), 422, "invalid_request")
    wish = {"parts": [{"number": 1, "md5": "0" * 32}]}
    problem(http.post("/v1/uploads/upl_none/part-links", json=wish), 404, "not_found")
    problem(http.post(path, content=b" " * (1 << 21), headers={"Content-Type": "application/json"}), 413, "too_large")


def test_parts_go_one_way_or_the_other(http: TestClient, storage: httpx.Client, pending: dict[str, Any]) -> None:
    part = f"{pending['urls']['parts']}/1?sha256={sha256(PARTS[1]).hexdigest()}"
    named = {"parts": [{"number": n, "sha256": sha256(one).hexdigest()} for n, one in PARTS.items()]}
    send(http, storage, pending, 1, 2, 3)
    problem(http.put(part, content=PARTS[1], headers=BINARY), 409, "not_ready")
    document = problem(http.post(pending["urls"]["complete"], json=named), 422, "invalid_request")
    assert [error["pointer"] for error in document["errors"]] == ["#/parts"]
    assert complete(http, pending).status_code == 200
    other = http.post("/v1/uploads", json=announced(CONTENT)).json()
    part = f"{other['urls']['parts']}/1?sha256={sha256(PARTS[1]).hexdigest()}"
    assert http.put(part, content=PARTS[1], headers=BINARY).status_code == 200
    assert http.get(other["urls"]["self"]).json()["urls"]["part_links"] is None
    problem(links(http, {"urls": {"part_links": f"/v1/uploads/{other['id']}/part-links"}}, 1), 409, "not_ready")


def test_the_declared_size_counts_from_the_first_link(settings: Settings) -> None:
    limits = settings.limits.model_copy(update={"stored_bytes": len(CONTENT) * 3 // 2})
    app = create_app(settings.model_copy(update={"limits": limits}))
    with TestClient(app, base_url="http://127.0.0.1") as http:
        first, second = (http.post("/v1/uploads", json=announced(CONTENT)).json() for _ in range(2))
        assert links(http, first, 1, 2).status_code == 200
        assert links(http, first, 3).status_code == 200
        problem(links(http, second, 1), 429, "quota_exceeded")
        assert http.delete(first["urls"]["self"]).status_code == 204
        assert links(http, second, 1).status_code == 200
    assert open_objects(settings).sweep_unfinished(-2) == 1, "only the second is under way"


def test_the_sweeper_waits_for_parts_until_their_time_is_over(
    http: TestClient, storage: httpx.Client, pending: dict[str, Any], db: Database, objects: ObjectStore
) -> None:
    send(http, storage, pending, 1)
    with db.write() as connection:
        connection.execute(update(tables.uploads).values(expires_at=database_now() + 5))
    send(http, storage, pending, 2)
    left = datetime.fromisoformat(http.get(pending["urls"]["self"]).json()["expires_at"]) - datetime.now(UTC)
    assert left > timedelta(days=6), "each link asked for moves it on"
    sweep(db, objects)
    assert len(http.get(pending["urls"]["parts"]).json()["items"]) == 2
    with db.write() as connection:
        connection.execute(update(tables.uploads).values(expires_at=database_now() - 1))
    sweep(db, objects)
    problem(http.get(pending["urls"]["self"]), 404, "not_found")
    assert objects.sweep_unfinished(-2) == 0, "nothing is left over"


def test_parts_that_the_bucket_has_forgotten_are_sent_again(
    http: TestClient, storage: httpx.Client, pending: dict[str, Any], objects: ObjectStore
) -> None:
    """As a rule of the bucket does with uploads that are long under way."""
    send(http, storage, pending, 1, 2, 3)
    assert objects.sweep_unfinished(-2) == 1
    assert http.get(pending["urls"]["parts"]).json()["items"] == []
    problem(complete(http, pending), 409, "not_ready")
    send(http, storage, pending, 1, 2, 3)
    assert complete(http, pending).json()["state"] == "complete"


def test_a_service_that_died_after_joining_goes_on(
    http: TestClient, storage: httpx.Client, pending: dict[str, Any], db: Database, objects: ObjectStore
) -> None:
    send(http, storage, pending, 1, 2, 3)
    key = get_file(db, pending["id"], "direct", tenant="local").key
    with db.read() as connection:
        multipart = connection.execute(tables.uploads.select()).one().multipart
    assert objects.direct is not None
    objects.direct.join(key, multipart, objects.direct.sent(key, multipart))
    sweep(db, objects)
    listed = http.get(pending["urls"]["parts"]).json()["items"]
    assert [(part["number"], part["size"]) for part in listed] == [(n, len(one)) for n, one in PARTS.items()]
    assert complete(http, pending).json()["state"] == "complete"


def test_where_links_are_switched_off_the_service_takes_the_parts(settings: Settings) -> None:
    plain = settings.objects.model_copy(update={"presign": False})
    app = create_app(settings.model_copy(update={"objects": plain}))
    with TestClient(app, base_url="http://127.0.0.1") as http:
        pending = http.post("/v1/uploads", json=announced(CONTENT)).json()
        assert (pending["part_size"], pending["urls"]["part_links"]) == (None, None)
        wish = {"parts": [{"number": 1, "md5": "0" * 32}]}
        problem(http.post(f"/v1/uploads/{pending['id']}/part-links", json=wish), 409, "not_ready")
