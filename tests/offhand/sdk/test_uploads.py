"""Large files go in parts, and a try that broke off is gone on with."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from offhand.sdk import uploads
from offhand.sdk.client import Client
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.files import get_file
from tests.serving import ApiProcess

#: Sends a file in parts of 64 KiB, and stands still once three are there.
SENDER = """
import sys, time
from pathlib import Path
from offhand.sdk import uploads
from offhand.sdk.client import Client

def told(sent, size):
    if sent >= 3 * uploads.PART:
        print(sent, flush=True)
        time.sleep(600)

uploads.LARGE = uploads.PART = 1 << 16
with Client(sys.argv[1]) as client:
    client.uploads.create_checkpoint(Path(sys.argv[2]), told)
"""


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of eight parts and a bit, other bytes in each test."""
    monkeypatch.setattr(uploads, "LARGE", 1 << 16)
    monkeypatch.setattr(uploads, "PART", 1 << 16)
    path = tmp_path / "net.pkl"
    content = b"".join(sha256(f"{tmp_path}{n}".encode()).digest() for n in range(1 << 14))
    path.write_bytes(b"\x80\x04" + content + b"the rest")
    return path


def stored(upload_id: str, db: Database, objects: ObjectStore) -> bytes:
    with objects.open(get_file(db, upload_id, "content", tenant="local").key) as file:
        return file.read()


def test_a_large_file_goes_in_parts(client: Client, checkpoint: Path, db: Database, objects: ObjectStore) -> None:
    told: list[tuple[int, int]] = []
    upload = client.uploads.create_checkpoint(checkpoint, lambda sent, size: told.append((sent, size)))
    size = checkpoint.stat().st_size
    assert upload["state"] == "complete"
    assert [sent for sent, _ in told] == [*range(1 << 16, size, 1 << 16), size]
    assert stored(upload["id"], db, objects) == checkpoint.read_bytes()
    assert client.uploads.create_checkpoint(checkpoint)["id"] == upload["id"], "what is there is not sent again"


def test_a_client_that_is_killed_half_way_goes_on(
    server: ApiProcess, checkpoint: Path, repository: Path, db: Database, objects: ObjectStore
) -> None:
    words = [sys.executable, "-c", SENDER, server.url, str(checkpoint)]
    with subprocess.Popen(words, cwd=repository, stdout=subprocess.PIPE) as sender:
        assert sender.stdout is not None
        assert int(sender.stdout.readline()) == 3 << 16
        sender.kill()
    with Client(server.url) as client:
        digest = uploads.sha256_of(checkpoint)
        (begun,) = client.uploads.list(state="pending", sha256=digest)
        sent: list[str] = []
        hooks = client.connection.http.event_hooks["request"]
        hooks.append(lambda request: sent.append(f"{request.method} {request.url.path}"))
        upload = client.uploads.create_checkpoint(checkpoint)
    assert (upload["id"], upload["state"]) == (begun["id"], "complete")
    puts = [line for line in sent if line.startswith("PUT")]
    assert puts == [f"PUT {begun['urls']['parts']}/{number}" for number in range(4, 10)]
    assert stored(upload["id"], db, objects) == checkpoint.read_bytes()


def test_a_service_that_is_killed_half_way_keeps_what_it_has(
    server: ApiProcess, checkpoint: Path, db: Database, objects: ObjectStore
) -> None:
    with Client(server.url, patience=60) as client:

        def restart(sent: int, _size: int) -> None:
            if sent == 3 << 16:
                server.kill()
                server.start()

        upload = client.uploads.create_checkpoint(checkpoint, restart)
    assert upload["state"] == "complete"
    assert stored(upload["id"], db, objects) == checkpoint.read_bytes()


def test_a_part_that_is_not_the_files_is_sent_again(
    client: Client, checkpoint: Path, db: Database, objects: ObjectStore
) -> None:
    declared = {
        "filename": checkpoint.name,
        "size": checkpoint.stat().st_size,
        "sha256": uploads.sha256_of(checkpoint),
    }
    begun = client.connection.request("POST", "/v1/uploads", json=declared).json()
    wrong = bytes(1000)
    url = f"{begun['urls']['parts']}/2?sha256={sha256(wrong).hexdigest()}"
    client.connection.request("PUT", url, content=wrong, headers={"Content-Type": "application/octet-stream"})
    upload = client.uploads.create_checkpoint(checkpoint)
    assert upload["id"] == begun["id"]
    assert stored(upload["id"], db, objects) == checkpoint.read_bytes()
