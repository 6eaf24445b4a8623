"""Uploads in parts: any order, each checked, sent again where it is wrong, joined into the very file."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from api.app import create_app
from api.routes.upload_parts import READERS
from store import tables
from store.database.clock import database_now
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.files import get_file
from store.settings import Settings
from store.sweep import sweep
from store.uploads import parts
from tests.api.protocol.test_errors import problem
from tests.api.test_uploads import ZIP, announced, kept_files

BINARY = {"Content-Type": "application/octet-stream"}
#: Begins like a pickled checkpoint, in three parts of 400 bytes and a short one.
CONTENT = b"\x80\x04" + b"".join(sha256(b"%d" % n).digest() for n in range(40))
PARTS = {number: CONTENT[at : at + 400] for number, at in enumerate(range(0, len(CONTENT), 400), start=1)}


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def listing(*numbers: int) -> dict[str, Any]:
    return {"parts": [{"number": number, "sha256": digest(PARTS[number])} for number in numbers or PARTS]}


@pytest.fixture
def pending(http: TestClient) -> dict[str, Any]:
    answer = http.post("/v1/uploads", json=announced(CONTENT, filename="net.pkl", purpose="checkpoint"))
    document: dict[str, Any] = answer.json()
    return document


def put(
    http: TestClient, pending: dict[str, Any], number: int, content: bytes | None = None, declared: str = ""
) -> Any:
    content = PARTS[number] if content is None else content
    url = f"{pending['urls']['parts']}/{number}?sha256={declared or digest(content)}"
    return http.put(url, content=content, headers=BINARY)


def test_parts_in_any_order_become_the_file(
    http: TestClient, pending: dict[str, Any], db: Database, objects: ObjectStore, settings: Settings
) -> None:
    assert len(PARTS) == 4
    for number in (3, 1, 4, 2):
        document = put(http, pending, number).json()
        said = {"number": number, "size": len(PARTS[number]), "sha256": digest(PARTS[number]), "md5": None}
        assert document == said
    first = http.get(pending["urls"]["parts"], params={"page_size": 3}).json()
    assert [part["number"] for part in first["items"]] == [1, 2, 3]
    rest = http.get(pending["urls"]["parts"], params={"page_token": first["next_page_token"]}).json()
    assert ([part["number"] for part in rest["items"]], rest["next_page_token"]) == ([4], None)
    answer = http.post(pending["urls"]["complete"], json=listing())
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "complete"
    assert answer.json()["expires_at"] is None
    with objects.open(get_file(db, pending["id"], "content", tenant="local").key) as file:
        assert file.read() == CONTENT
    assert len(kept_files(settings)) == 1, "the parts are gone"
    assert http.get(pending["urls"]["parts"]).json()["items"] == []
    assert http.post(pending["urls"]["complete"], json=listing()).json() == answer.json()
    problem(put(http, pending, 1), 409, "not_ready")


def test_numbers_may_be_left_out_and_other_parts_are_dropped(
    http: TestClient, pending: dict[str, Any], settings: Settings
) -> None:
    put(http, pending, 1)
    put(http, pending, 20, CONTENT[400:])
    put(http, pending, 7, b"not wanted")
    wish = {
        "parts": [
            {"number": 1, "sha256": digest(PARTS[1]).upper()},
            {"number": 20, "sha256": digest(CONTENT[400:])},
        ]
    }
    assert http.post(pending["urls"]["complete"], json=wish).json()["state"] == "complete"
    assert len(kept_files(settings)) == 1


def test_a_part_that_is_wrong_can_be_sent_again(http: TestClient, pending: dict[str, Any], settings: Settings) -> None:
    problem(put(http, pending, 2, declared="0" * 64), 422, "digest_mismatch")
    assert kept_files(settings) == []
    for number in PARTS:
        put(http, pending, number, bytes(400) if number == 2 else None)
    document = problem(http.post(pending["urls"]["complete"], json=listing()), 422, "invalid_request")
    assert [e["pointer"] for e in document["errors"]] == ["#/parts/1/sha256"]
    assert put(http, pending, 2).status_code == 200
    assert len(kept_files(settings)) == 4, "the wrong one is gone"
    assert http.post(pending["urls"]["complete"], json=listing()).status_code == 200


def test_every_part_that_is_missing_is_named(http: TestClient, pending: dict[str, Any]) -> None:
    for number in (2, 4):
        put(http, pending, number)
    document = problem(http.post(pending["urls"]["complete"], json=listing(2, 1, 4, 3)), 422, "invalid_request")
    assert sorted(e["pointer"] for e in document["errors"]) == [
        "#/parts/0/number",
        "#/parts/1/number",
        "#/parts/1/number",
        "#/parts/3/number",
        "#/parts/3/number",
    ]


def test_parts_that_are_not_the_file_are_refused_and_stay(
    http: TestClient, pending: dict[str, Any], settings: Settings
) -> None:
    for number in PARTS:
        put(http, pending, number)
    problem(http.post(pending["urls"]["complete"], json=listing(1, 2, 3)), 422, "digest_mismatch")
    put(http, pending, 4, bytes(len(PARTS[4])))
    wish = listing()
    wish["parts"][3]["sha256"] = digest(bytes(len(PARTS[4])))
    problem(http.post(pending["urls"]["complete"], json=wish), 422, "digest_mismatch")
    assert len(kept_files(settings)) == 4
    assert http.get(pending["urls"]["self"]).json()["state"] == "pending"


@pytest.mark.parametrize(
    ("number", "content", "headers", "status", "code"),
    [
        (1, b"GIF89a" + bytes(400), BINARY, 415, "unsupported_media_type"),
        (2, bytes(10), ZIP, 415, "unsupported_media_type"),
        (2, bytes(len(CONTENT) + 1), BINARY, 413, "too_large"),
        (0, bytes(10), BINARY, 422, "invalid_request"),
        (10_001, bytes(10), BINARY, 422, "invalid_request"),
    ],
)
def test_what_is_no_part_is_refused(
    http: TestClient,
    pending: dict[str, Any],
    settings: Settings,
    number: int,
    content: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    url = f"{pending['urls']['parts']}/{number}?sha256={digest(content)}"
    problem(http.put(url, content=content, headers=headers), status, code)
    assert kept_files(settings) == []


def test_bad_lists_of_parts_are_refused(http: TestClient, pending: dict[str, Any]) -> None:
    complete = pending["urls"]["complete"]
    problem(http.post(complete, json={"parts": []}), 422, "invalid_request")
    problem(
        http.post(complete, content=b" " * (1 << 21), headers={"Content-Type": "application/json"}), 413, "too_large"
    )
    problem(http.post(complete, content=b"x", headers=BINARY), 415, "unsupported_media_type")
    problem(http.post("/v1/uploads/upl_none/complete", json=listing()), 404, "not_found")
    problem(http.get("/v1/uploads/upl_none/parts"), 404, "not_found")
    problem(put(http, {"urls": {"parts": "/v1/uploads/upl_none/parts"}}, 1), 404, "not_found")


def test_a_zip_in_parts_that_is_cut_off_is_refused(http: TestClient, archive: bytes) -> None:
    cut = archive[:-10]
    pending = http.post("/v1/uploads", json=announced(cut)).json()
    put(http, pending, 1, cut)
    wish = {"parts": [{"number": 1, "sha256": digest(cut)}]}
    problem(http.post(pending["urls"]["complete"], json=wish), 422, "broken_archive")


def test_parts_count_as_stored_bytes(settings: Settings) -> None:
    limits = settings.limits.model_copy(update={"stored_bytes": 1300})
    app = create_app(settings.model_copy(update={"limits": limits}))
    with TestClient(app, base_url="http://127.0.0.1") as http:
        pending = http.post("/v1/uploads", json=announced(CONTENT)).json()
        for number in (1, 2, 3, 2):
            assert put(http, pending, number).status_code == 200
        problem(put(http, pending, 5, bytes(400)), 429, "quota_exceeded")
    assert len(kept_files(settings)) == 3


def test_one_finds_what_one_had_begun(http: TestClient, pending: dict[str, Any], archive: bytes) -> None:
    http.post("/v1/uploads", json=announced(archive))
    http.post("/v1/uploads", content=archive, headers=ZIP)
    found = http.get("/v1/uploads", params={"state": "pending", "sha256": pending["sha256"].upper()}).json()
    assert [upload["id"] for upload in found["items"]] == [pending["id"]]
    assert len(http.get("/v1/uploads", params={"state": "pending"}).json()["items"]) == 2
    problem(http.get("/v1/uploads?state=done"), 422, "invalid_request")


def test_what_was_begun_and_left_is_forgotten(
    http: TestClient, pending: dict[str, Any], db: Database, objects: ObjectStore, settings: Settings
) -> None:
    put(http, pending, 1)
    sweep(db, objects)
    assert len(kept_files(settings)) == 1
    assert http.get(pending["urls"]["self"]).json()["expires_at"] > pending["expires_at"]
    with db.write() as connection:
        connection.execute(update(tables.uploads).values(expires_at=database_now() - 1))
    sweep(db, objects)
    assert kept_files(settings) == []
    problem(http.get(pending["urls"]["self"]), 404, "not_found")


def test_deleting_an_upload_takes_its_parts(http: TestClient, pending: dict[str, Any], settings: Settings) -> None:
    put(http, pending, 1)
    assert http.delete(pending["urls"]["self"]).status_code == 204
    assert kept_files(settings) == []


def test_an_upload_is_read_through_in_a_thread_of_those_kept_for_that(
    http: TestClient, pending: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    join = parts.join_parts

    def watched(*arguments: Any, **named: Any) -> Any:
        taken.append(READERS.borrowed_tokens)
        return join(*arguments, **named)

    monkeypatch.setattr(parts, "join_parts", watched)
    for number in PARTS:
        put(http, pending, number)
    assert http.post(pending["urls"]["complete"], json=listing()).status_code == 200
    assert taken == [1], "those of all other requests are still there"
