"""Large files go straight to the object store where there is one, and a try that broke off is gone on with."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from offhand.errors import ClientError, Refused
from offhand.sdk import uploads
from offhand.sdk.client import Client
from offhand.sdk.direct_uploads import send_part
from store.database.database import Database, open_database
from store.objects import ObjectStore, open_objects
from store.resources.files import get_file
from store.settings import Settings
from tests.servers import S3Server
from tests.serving import ApiProcess

PART = 5 * 1024**2

#: Sends a file, and stands still once two parts are there.
SENDER = """
import sys, time
from pathlib import Path
from offhand.sdk import uploads
from offhand.sdk.client import Client

def told(sent, size):
    if sent >= 10 * 1024**2:
        print(sent, flush=True)
        time.sleep(600)

uploads.LARGE = 1 << 20
with Client(sys.argv[1]) as client:
    client.uploads.create_checkpoint(Path(sys.argv[2]), told)
"""


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, generators: Path, fresh_database: Path, s3_server: S3Server
) -> Settings:
    home = tmp_path_factory.mktemp("served")
    shutil.copyfile(fresh_database, home / "offhand.sqlite3")
    objects = s3_server.settings(f"test-{uuid.uuid4().hex}")
    return Settings(home=home, generators_folder=str(generators), objects=objects)


@pytest.fixture(scope="module")
def running(settings: Settings, generators: Path) -> Iterator[ApiProcess]:
    own = {f"OFFHAND_OBJECTS__{name.upper()}": str(value) for name, value in settings.objects.model_dump().items()}
    with ApiProcess(settings.home, generators, **own) as process:
        yield process


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of three parts and a bit, other bytes in each test."""
    monkeypatch.setattr(uploads, "LARGE", 1 << 20)
    path = tmp_path / "net.pkl"
    path.write_bytes(b"\x80\x04" + sha256(str(tmp_path).encode()).digest() * (3 * PART // 32) + b"the rest")
    return path


@pytest.fixture
def sent(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request for links and every part, in order."""
    lines: list[str] = []
    original = httpx.Client.request

    def request(self: httpx.Client, method: str, url: str, **more: object) -> httpx.Response:
        if method == "PUT" or str(url).endswith("/part-links"):
            lines.append(f"{method} {httpx.URL(url).params.get('partNumber', 'links')}")
        if method == "PUT":
            assert "authorization" not in {name.lower() for name in self.headers}
            assert self.base_url != client.connection.http.base_url
        return original(self, method, url, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.Client, "request", request)
    return lines


def stored(upload_id: str, settings: Settings) -> bytes:
    db: Database = open_database(settings)
    objects: ObjectStore = open_objects(settings)
    try:
        return b"".join(objects.read(get_file(db, upload_id, "content", tenant="local").key))
    finally:
        db.close()


def test_the_service_sees_no_part(client: Client, checkpoint: Path, settings: Settings, sent: list[str]) -> None:
    told: list[int] = []
    upload = client.uploads.create_checkpoint(checkpoint, lambda done, _size: told.append(done))
    assert upload["state"] == "complete"
    assert told == [PART, 2 * PART, 3 * PART, checkpoint.stat().st_size]
    assert sent == [line for n in (1, 2, 3, 4) for line in ("POST links", f"PUT {n}")]
    assert stored(upload["id"], settings) == checkpoint.read_bytes()
    assert client.uploads.create_checkpoint(checkpoint)["id"] == upload["id"], "what is there is not sent again"
    assert len(sent) == 8


def test_a_client_that_is_killed_half_way_goes_on(
    client: Client, server: ApiProcess, checkpoint: Path, repository: Path, settings: Settings, sent: list[str]
) -> None:
    words = [sys.executable, "-c", SENDER, server.url, str(checkpoint)]
    with subprocess.Popen(words, cwd=repository, stdout=subprocess.PIPE) as sender:
        assert sender.stdout is not None
        assert int(sender.stdout.readline()) == 2 * PART
        sender.kill()
    upload = client.uploads.create_checkpoint(checkpoint)
    assert [line for line in sent if line.startswith("PUT")] == ["PUT 3", "PUT 4"]
    assert stored(upload["id"], settings) == checkpoint.read_bytes()


def test_a_service_that_is_killed_half_way_is_waited_for(
    server: ApiProcess, checkpoint: Path, settings: Settings
) -> None:
    with Client(server.url, patience=60) as client:

        def restart(done: int, _size: int) -> None:
            if done == 2 * PART:
                server.kill()
                server.start()

        upload = client.uploads.create_checkpoint(checkpoint, restart)
    assert stored(upload["id"], settings) == checkpoint.read_bytes()


def test_a_wrong_part_that_is_there_is_sent_again(
    client: Client, checkpoint: Path, settings: Settings, sent: list[str]
) -> None:
    declared = {
        "filename": checkpoint.name,
        "size": checkpoint.stat().st_size,
        "sha256": uploads.sha256_of(checkpoint),
    }
    begun = client.connection.request("POST", "/v1/uploads", json=declared).json()
    with httpx.Client() as storage:
        send_part(client.connection, storage, begun, 2, bytes(PART), "0" * 32)
    upload = client.uploads.create_checkpoint(checkpoint)
    assert upload["id"] == begun["id"]
    assert sent.count("PUT 2") == 2
    assert stored(upload["id"], settings) == checkpoint.read_bytes()


def test_a_file_that_changes_while_it_is_sent_is_refused(client: Client, checkpoint: Path) -> None:
    def change(done: int, _size: int) -> None:
        if done == PART:
            with checkpoint.open("r+b") as file:
                file.seek(2 * PART)
                file.write(bytes(100))

    with pytest.raises(Refused, match="SHA-256"):
        client.uploads.create_checkpoint(checkpoint, change)


def test_a_storage_that_is_away_is_named(server: ApiProcess, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = "http://127.0.0.1:1/bucket/key"
    with Client(server.url, patience=0.3) as client:
        original = client.connection.request

        def request(method: str, path: str, **more: object) -> httpx.Response:
            answer = original(method, path, **more)  # type: ignore[arg-type]
            if path.endswith("/part-links"):
                item = {"number": 1, "url": away, "headers": {}}
                return httpx.Response(200, json={"items": [item]})
            return answer

        monkeypatch.setattr(client.connection, "request", request)
        with pytest.raises(ClientError, match=r"part 1 of net.pkl cannot be sent .* at 127.0.0.1:1: it does"):
            client.uploads.create_checkpoint(checkpoint)
