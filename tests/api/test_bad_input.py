"""What the door refuses: every row of the contract's table of bad input that the API itself answers, against the
running server, which asks for keys here.

The rows that a worker answers (archives, images, labels, checkpoints) are in `tests/e2e/test_bad_input.py`; more of
each row is in the test of its module.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from store.database.database import Database, open_database
from store.objects import ObjectStore, open_objects
from store.settings import Settings
from store.tables import api_keys, datasets
from store.tenancy.api_keys import create_key, revoke_key
from store.tenancy.tenants import add_tenant
from tests.api.protocol.test_errors import problem
from tests.api.worlds import finish_dataset
from tests.serving import ApiProcess

ZIP = {"Content-Type": "application/zip"}
JSON = {"Content-Type": "application/json"}
UPLOAD_LIMIT = 100_000


@dataclass
class World:
    """A server, keys of two tenants, and what the first one has."""

    url: str
    settings: Settings
    keys: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    def ask(self, key: str, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys.get(key, key)}"} | options.pop("headers", {})
        return httpx.request(method, self.url + path.format(**self.ids), headers=headers, timeout=30, **options)

    def kept(self) -> set[Path]:
        return {path for path in self.settings.objects_folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, generators: Path, fresh_database: Path
) -> Iterator[Settings]:
    """Settings of a service over each of the databases."""
    settings = Settings(home=tmp_path_factory.mktemp("guarded"), generators_folder=str(generators))
    if request.param == "postgresql":
        with request.getfixturevalue("postgres_server").database() as settings.database.url:
            yield settings
    else:
        shutil.copyfile(fresh_database, settings.home / "offhand.sqlite3")
        yield settings


@pytest.fixture(scope="module")
def world(settings: Settings, generators: Path) -> Iterator[World]:
    db = open_database(settings)
    environment = {
        "OFFHAND_API__KEYS": "required",
        "OFFHAND_LIMITS__UPLOAD_BYTES": str(UPLOAD_LIMIT),
        "OFFHAND_DATABASE__URL": settings.database.url,
    }
    with ApiProcess(settings.home, generators, **environment) as process:
        made = World(process.url, settings, make_keys(db))
        fill(made, db, open_objects(settings))
        yield made
    db.close()


def make_keys(db: Database) -> dict[str, str]:
    secrets = {}
    for tenant in ("acme", "other"):
        add_tenant(db, tenant)
        for scope in ("read", "write", "admin"):
            secrets[f"{tenant}-{scope}"] = create_key(db, tenant=tenant, name=scope, scopes=[scope], days=1).secret
    for name in ("revoked", "expired"):
        made = create_key(db, tenant="acme", name=name, scopes=["admin"], days=1)
        secrets[name] = made.secret
        if name == "revoked":
            revoke_key(db, made.key.id, tenant="acme")
        else:
            with db.write() as connection:
                connection.execute(update(api_keys).where(api_keys.c.id == made.key.id).values(expires_at=time.time()))
    return {name: secret or "" for name, secret in secrets.items()}


def fill(world: World, db: Database, objects: ObjectStore) -> None:
    """Jobs and datasets in each state that the rows need, all of the first tenant."""
    archive = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(4) + b"\1\0\1\0" + bytes(10)
    upload = world.ask("acme-write", "POST", "/v1/uploads", content=archive, headers=ZIP)
    assert upload.status_code == 201, upload.text
    world.ids["upload_id"] = upload.json()["id"]
    for name in ("waiting", "ended", "expired"):
        wish = {"labels": world.ids["upload_id"], "generator": "tiny", "count": 20}
        answer = world.ask("acme-write", "POST", "/v1/jobs", json=wish)
        assert answer.status_code == 202, answer.text
        world.ids |= {f"{name}_job": answer.json()["id"], f"{name}_dataset": answer.json()["result"]["dataset"]}
        if name != "waiting":
            finish_dataset(db, objects, answer.json(), tenant="acme")
    with db.write() as connection:
        expired = datasets.c.id == world.ids["expired_dataset"]
        connection.execute(update(datasets).where(expired).values(expires_at=1.0))
    world.ids |= {"job_id": world.ids["ended_job"], "dataset_id": world.ids["ended_dataset"], "name": "latest"}
    alias = world.ask("acme-write", "PUT", "/v1/dataset-aliases/latest", json={"dataset": world.ids["dataset_id"]})
    assert alias.status_code == 200
    hook = world.ask("acme-write", "POST", "/v1/webhook-endpoints", json={"url": "https://93.184.215.14/"})
    world.ids["endpoint_id"] = hook.json()["id"]
    sent = world.ask("acme-write", "POST", f"/v1/webhook-endpoints/{world.ids['endpoint_id']}/test")
    world.ids["delivery_id"] = sent.json()["id"]
    world.ids["key_id"] = world.ask("acme-admin", "GET", "/v1/api-keys").json()["items"][0]["id"]


@pytest.mark.parametrize("secret", ["ofh_", "ofh_" + "0" * 43, "key_1", "x" * 4000, "revoked", "expired"])
def test_missing_malformed_revoked_or_expired_key(world: World, secret: str) -> None:
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/datasets/{dataset_id}/archive")):
        answer = world.ask(secret, method, path)
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    problem(httpx.get(f"{world.url}/v1/jobs"), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("key", "method", "path"),
    [
        ("acme-read", "POST", "/v1/jobs"),
        ("acme-read", "DELETE", "/v1/datasets/{dataset_id}"),
        ("acme-read", "POST", "/v1/jobs/{waiting_job}/cancel"),
        ("acme-read", "PUT", "/v1/dataset-aliases/latest"),
        ("acme-read", "GET", "/v1/api-keys"),
        ("acme-write", "POST", "/v1/api-keys"),
        ("acme-write", "DELETE", "/v1/api-keys/{key_id}"),
    ],
)
def test_valid_key_wrong_scope(world: World, key: str, method: str, path: str) -> None:
    options = {"json": {}} if method in ("POST", "PUT") else {}
    problem(world.ask(key, method, path, **options), 403, "insufficient_scope")


def test_anothers_id_is_answered_as_an_absent_one(world: World) -> None:
    document = world.ask("acme-read", "GET", "/openapi.json").json()
    asked = 0
    for template, operations in document["paths"].items():
        names = re.findall(r"\{(\w+)\}", template)
        if not names or names[0] not in world.ids:
            continue
        for method in set(operations) - {"put", "patch"}:
            body = {"json": {"format": "coco"}} if template.endswith("/exports") and method == "post" else {}
            body = {"json": {"parts": [{"number": 1, "sha256": "0" * 64}]}} if "complete" in template else body
            body = {"json": {"parts": [{"number": 1, "md5": "0" * 32}]}} if "part-links" in template else body
            made_up = {name: world.ids[name][:-3] + "000" if name in world.ids else "x" for name in names}
            real = {name: world.ids.get(name, "x") for name in names}
            theirs = world.ask("other-admin", method.upper(), template.format(**real), **body)
            absent = world.ask("other-admin", method.upper(), template.format(**made_up), **body)
            first, second = problem(theirs, 404, "not_found"), problem(absent, 404, "not_found")
            for name in names:
                first["detail"] = first["detail"].replace(real[name], made_up[name])
            assert first["detail"] == second["detail"], template
            asked += 1
    assert asked >= 30
    body = {"labels": world.ids["upload_id"], "generator": "tiny", "count": 1}
    problem(world.ask("other-write", "POST", "/v1/jobs", json=body), 422, "invalid_request")


def endless() -> Iterator[bytes]:
    yield b"PK\x03\x04"
    for _ in range(1000):
        yield bytes(10_000)


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [
        ("/v1/uploads", ZIP, b"PK\x03\x04" + bytes(UPLOAD_LIMIT)),
        ("/v1/uploads", ZIP, endless),
        ("/v1/jobs", JSON, b'"' + bytes(1 << 20) + b'"'),
        ("/v1/jobs", JSON, endless),
        ("/v1/jobs", {"Content-Type": "application/yaml"}, b"a" * (1 << 17)),
        ("/v1/webhook-endpoints", JSON, b"[" * (1 << 21)),
    ],
    ids=["declared", "streamed", "declared JSON", "streamed JSON", "YAML", "nested JSON"],
)
def test_body_over_its_limit(world: World, path: str, headers: dict[str, str], content: Any) -> None:
    before = world.kept()
    body = content() if callable(content) else content
    problem(world.ask("acme-write", "POST", path, headers=headers, content=body), 413, "too_large")
    assert world.kept() == before


@pytest.mark.parametrize(
    ("path", "media_type", "content"),
    [
        ("/v1/uploads", "text/html", b"PK\x03\x04"),
        ("/v1/uploads", "application/zip", b"GIF89a" + bytes(300)),
        ("/v1/uploads", "application/zip", b""),
        ("/v1/jobs", "text/plain", b"{}"),
        ("/v1/jobs", "application/x-www-form-urlencoded", b"a=b"),
        ("/v1/exports", "multipart/form-data; boundary=x", b"--x--"),
    ],
)
def test_wrong_media_type_or_magic(world: World, path: str, media_type: str, content: bytes) -> None:
    before = world.kept()
    answer = world.ask("acme-write", "POST", path, headers={"Content-Type": media_type}, content=content)
    problem(answer, 415, "unsupported_media_type")
    assert world.kept() == before


def test_truncated_archive_and_another_digest(world: World) -> None:
    before = world.kept()
    cut = world.ask("acme-write", "POST", "/v1/uploads?filename=heads.zip", headers=ZIP, content=b"PK\x03\x04aaaa" * 9)
    assert problem(cut, 422, "broken_archive")["errors"][0]["pointer"] == "heads.zip"
    declared = f"/v1/uploads?sha256={'0' * 64}"
    other = world.ask("acme-write", "POST", declared, headers=ZIP, content=b"PK\x03\x04" + bytes(200))
    problem(other, 422, "digest_mismatch")
    assert world.kept() == before


@pytest.mark.parametrize(
    "count", ["0", "-1", "1e18", "1000000000000000000", "NaN", "Infinity", "1e400", "1.5", '"20"', "true", "null"]
)
def test_counts_that_are_none(world: World, count: str) -> None:
    body = f'{{"labels": "{world.ids["upload_id"]}", "generator": "tiny", "count": {count}}}'
    answer = world.ask("acme-write", "POST", "/v1/jobs", content=body.encode(), headers=JSON)
    assert [e["pointer"] for e in problem(answer, 422, "invalid_request")["errors"]] == ["#/count"]


def test_nul_in_any_string_of_a_request(world: World) -> None:
    wish = {"labels": world.ids["upload_id"], "generator": "tiny", "count": 1}
    for method, path, options in (
        ("GET", "/v1/jobs/%00", {}),
        ("GET", "/v1/jobs?label=a=%00", {}),
        ("GET", "/v1/uploads?page_token=%00", {}),
        ("GET", "/v1/datasets/{dataset_id}/files/a%00b", {}),
        ("PUT", "/v1/dataset-aliases/a%00b", {"json": {"dataset": world.ids["dataset_id"]}}),
        ("PUT", "/v1/dataset-aliases/latest", {"json": {"dataset": "a\0b"}}),
        ("POST", "/v1/jobs", {"json": wish | {"labels_map": {"a\0b": "x"}}}),
        ("POST", "/v1/jobs", {"content": 'labels: "a\\0b"', "headers": {"Content-Type": "application/yaml"}}),
        ("POST", "/v1/api-keys", {"json": {"name": "a\0b"}}),
        ("POST", "/v1/webhook-endpoints", {"json": {"url": "https://93.184.215.14/", "description": "a\0b"}}),
        ("POST", "/v1/uploads", {"json": {"filename": "a\0.zip", "size": 1, "sha256": "0" * 64}}),
        ("POST", "/v1/uploads?filename=a%00.zip", {"content": b"PK\x03\x04" + bytes(300), "headers": ZIP}),
    ):
        document = problem(world.ask("acme-admin", method, path, **options), 422, "invalid_request")
        assert any("NUL" in one["detail"] for one in document["errors"]), (path, document)


def test_unknown_query_parameters(world: World) -> None:
    document = problem(world.ask("acme-read", "GET", "/v1/jobs?pagesize=3"), 422, "invalid_request")
    assert [e["pointer"] for e in document["errors"]] == ["query:pagesize"]


def test_unknown_fields(world: World) -> None:
    body = {"labels": world.ids["upload_id"], "generator": "tiny", "count": 1, "sead": 1, "labeler": {"member": 5}}
    document = problem(world.ask("acme-write", "POST", "/v1/jobs", json=body), 422, "invalid_request")
    assert {e["pointer"] for e in document["errors"]} == {"#/sead", "#/labeler/member"}


def test_cancel_of_a_terminal_job(world: World) -> None:
    for _ in range(2):
        answer = world.ask("acme-write", "POST", "/v1/jobs/{ended_job}/cancel")
        assert answer.status_code == 200
        assert (answer.json()["id"], answer.json()["state"]) == (world.ids["ended_job"], "succeeded")


@pytest.mark.parametrize("what", ["manifest", "archive", "shards/000000.tar", "card", "contact-sheet", "files/x"])
def test_downloads_before_and_after_their_time(world: World, what: str) -> None:
    problem(world.ask("acme-read", "GET", f"/v1/datasets/{{waiting_dataset}}/{what}"), 409, "not_ready")
    problem(world.ask("acme-read", "GET", f"/v1/datasets/{{expired_dataset}}/{what}"), 410, "gone")


@pytest.mark.parametrize(
    "target",
    [
        "http://93.184.215.14/",
        "ftp://93.184.215.14/",
        "https://user:word@93.184.215.14/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[fe80::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://0.0.0.0/",
        "https:///path",
        "javascript:alert(1)",
    ],
)
def test_webhook_targets(world: World, target: str) -> None:
    for method, path in (("POST", "/v1/webhook-endpoints"), ("PATCH", "/v1/webhook-endpoints/{endpoint_id}")):
        answer = world.ask("acme-write", method, path, json={"url": target})
        assert [e["pointer"] for e in problem(answer, 422, "invalid_request")["errors"]] == ["#/url"]


@pytest.mark.parametrize("lost", ["database", "storage"])
def test_database_or_storage_down(tmp_path: Path, generators: Path, fresh_database: Path, lost: str) -> None:
    environment = {}
    if lost == "database":
        environment["OFFHAND_DATABASE__URL"] = "postgresql+psycopg://nobody:nothing@127.0.0.1:1/none"
    else:
        shutil.copyfile(fresh_database, tmp_path / "offhand.sqlite3")
        (tmp_path / "objects").write_text("a file where the folder should be")
    with ApiProcess(tmp_path, generators, **environment) as process, httpx.Client(base_url=process.url) as http:
        began = http.post("/v1/uploads", content=b"PK\x03\x04" + bytes(300), headers=ZIP, timeout=30)
        problem(began, 503, "store_unavailable")
        assert int(began.headers["retry-after"]) > 0
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").status_code == 503
