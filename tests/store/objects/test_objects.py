"""What an object store promises, kept by the folder, an S3-compatible server and OpenStack Swift's s3api alike."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
import urllib.request
import uuid
from pathlib import Path

import httpx
import pytest

from store.errors import DigestMismatch, NotFound, StoreUnavailable, TooLarge
from store.objects import DirectParts, LocalObjects, ObjectStore, open_objects
from store.settings import ObjectSettings, Settings
from tests.servers import S3Server
from tests.swift_server import SwiftServer

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
#: More than two parts.
LARGE = b"0123456789abcdef" * (11 * 1024**2 // 16)


@pytest.fixture(params=["local", "s3", "s3 with prefix", pytest.param("swift", marks=pytest.mark.slow)])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalObjects(tmp_path / "objects")
    server: S3Server | SwiftServer = request.getfixturevalue(
        "swift_server" if request.param == "swift" else "s3_server"
    )
    chosen = server.settings(f"test-{uuid.uuid4().hex}")
    chosen.prefix = "below/here" if request.param == "s3 with prefix" else ""
    return open_objects(Settings(home=tmp_path, objects=chosen))


def test_what_is_put_is_read_back(objects: ObjectStore) -> None:
    stored = objects.put("a/b/c.bin", io.BytesIO(CONTENT), size=len(CONTENT), sha256=SHA256)
    assert (stored.bytes, stored.sha256) == (len(CONTENT), SHA256)
    assert b"".join(objects.read("a/b/c.bin")) == CONTENT
    assert b"".join(objects.read("a/b/c.bin", start=10, stop=20, chunk=3)) == CONTENT[10:20]
    assert b"".join(objects.read("a/b/c.bin", start=len(CONTENT) - 5, stop=10**9)) == CONTENT[-5:]
    assert b"".join(objects.read("a/b/c.bin", start=len(CONTENT), stop=10**9)) == b""
    assert objects.stat("a/b/c.bin").bytes == len(CONTENT)
    with objects.open("a/b/c.bin") as file:
        assert file.read(3) == CONTENT[:3]


def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    assert objects.put("a", b"").bytes == 0
    assert b"".join(objects.read("a")) == b""
    with objects.open("a") as file:
        assert file.read() == b""


def test_large_objects_come_in_pieces_and_come_back(objects: ObjectStore) -> None:
    writer = objects.start("large", size=len(LARGE), sha256=hashlib.sha256(LARGE).hexdigest())
    for start in range(0, len(LARGE), 700_001):
        writer.write(LARGE[start : start + 700_001])
    assert writer.written == len(LARGE)
    assert writer.finish().bytes == len(LARGE)
    writer.abort()
    assert b"".join(objects.read("large")) == LARGE
    assert [found.key for found in objects.list()] == ["large"]
    assert objects.sweep_unfinished(-1) == 0, "nothing is left over"


def test_an_opened_object_can_be_read_out_of_order(objects: ObjectStore) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in "ab":
            info = tarfile.TarInfo(name)
            info.size = len(CONTENT)
            tar.addfile(info, io.BytesIO(CONTENT))
    objects.put("tar", out.getvalue())
    with objects.open("tar") as source, tarfile.open(fileobj=source) as tar:
        last, first = tar.extractfile("b"), tar.extractfile("a")
        assert last is not None
        assert first is not None
        assert last.read() == first.read() == CONTENT
        assert source.seek(-5, io.SEEK_END) == len(out.getvalue()) - 5
        assert len(source.read()) == 5


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        ({"size": len(CONTENT) + 1}, DigestMismatch),
        ({"size": len(CONTENT) - 1}, TooLarge),
        ({"sha256": "0" * 64}, DigestMismatch),
    ],
)
def test_other_bytes_than_declared_are_refused_and_leave_nothing(
    objects: ObjectStore, declared: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        objects.put("a", CONTENT, **declared)
    assert list(objects.list()) == []
    assert objects.sweep_unfinished(-1) == 0


def test_a_large_object_that_is_refused_leaves_nothing(objects: ObjectStore) -> None:
    with pytest.raises(DigestMismatch):
        objects.put("a", LARGE, sha256="0" * 64)
    assert list(objects.list()) == []
    assert objects.sweep_unfinished(-1) == 0


@pytest.mark.parametrize("content", [b"half", LARGE])
def test_nothing_is_seen_before_finish(objects: ObjectStore, content: bytes) -> None:
    writer = objects.start("a/b")
    writer.write(content)
    assert list(objects.list()) == []
    with pytest.raises(NotFound):
        objects.stat("a/b")
    writer.abort()
    writer.abort()
    assert list(objects.list()) == []
    assert objects.sweep_unfinished(-1) == 0


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.unfinished", "a\0b", "a/", "."])
def test_keys_are_plain_relative_paths(objects: ObjectStore, key: str) -> None:
    with pytest.raises(NotFound):
        objects.put(key, b"x")
    with pytest.raises(NotFound):
        objects.open(key)


def test_absent_objects(objects: ObjectStore) -> None:
    for look in (objects.stat, objects.open, objects.read):
        with pytest.raises(NotFound):
            look("none")
    objects.delete("none")


def test_list_by_prefix_in_order(objects: ObjectStore) -> None:
    for key in ("work/b/1", "work/a/2", "work/a/10", "works/c", "up/d"):
        objects.put(key, b"x")
    assert [found.key for found in objects.list("work/a/")] == ["work/a/10", "work/a/2"]
    assert [found.key for found in objects.list("work")] == ["work/a/10", "work/a/2", "work/b/1", "works/c"]
    assert len(list(objects.list())) == 5
    objects.delete("work/a/2")
    assert [found.key for found in objects.list("work/a/")] == ["work/a/10"]


def test_deleting_beside_writing_loses_nothing(objects: ObjectStore) -> None:
    """In a folder both work in the same directory, which deleting prunes when it is empty."""

    def write(name: str) -> None:
        for number in range(20):
            objects.put(f"same/{name}-{number}", b"x")
            if number % 2:
                objects.delete(f"same/{name}-{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(objects.list("same/"))) == 4 * 10


def test_what_an_unfinished_writer_left_is_swept(objects: ObjectStore) -> None:
    writer = objects.start("a")
    writer.write(LARGE)
    assert objects.sweep_unfinished(3600) == 0
    assert objects.sweep_unfinished(-2) == 1
    assert objects.sweep_unfinished(-2) == 0
    writer.abort()


def test_the_clock_is_the_one_of_the_objects(objects: ObjectStore) -> None:
    objects.put("a", b"x")
    assert abs(objects.clock() - objects.stat("a").modified_at) < 60


def test_a_link_gives_the_bytes_where_there_are_links(objects: ObjectStore) -> None:
    objects.put("a/b.tar", CONTENT)
    url = objects.presign("a/b.tar", filename='odd"name.tar')
    if isinstance(objects, LocalObjects):
        assert url is None
        return
    assert url is not None
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == CONTENT


@pytest.fixture
def direct(objects: ObjectStore) -> DirectParts:
    found = objects.direct
    if found is None:
        assert isinstance(objects, LocalObjects)
        pytest.skip("a folder takes no parts from callers")
    return found


def send(direct: DirectParts, multipart: str, number: int, content: bytes) -> None:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    link = direct.link("a/b.zip", multipart, number, size=len(content), md5=md5, seconds=60)
    httpx.put(link.url, content=content, headers=link.headers, timeout=60).raise_for_status()


def test_parts_that_callers_send_become_an_object(objects: ObjectStore, direct: DirectParts) -> None:
    size = direct.part_bytes(len(LARGE))
    pieces = [LARGE[at : at + size] for at in range(0, len(LARGE), size)]
    assert len(pieces) == 3
    multipart = direct.begin("a/b.zip")
    for number in (3, 1, 2):
        send(direct, multipart, number, pieces[number - 1])
    sent = direct.sent("a/b.zip", multipart)
    md5s = [hashlib.md5(piece, usedforsecurity=False).hexdigest() for piece in pieces]
    assert [(part.number, part.bytes, part.md5) for part in sent] == list(
        zip((1, 2, 3), map(len, pieces), md5s, strict=True)
    )
    assert list(objects.list()) == []
    direct.join("a/b.zip", multipart, sent)
    assert b"".join(objects.read("a/b.zip")) == LARGE
    assert [found.key for found in objects.list()] == ["a/b.zip"]
    with pytest.raises(NotFound):
        direct.sent("a/b.zip", multipart)
    direct.abort("a/b.zip", multipart)
    assert objects.sweep_unfinished(-2) == 0, "nothing is left over"


def test_parts_that_callers_send_are_kept_while_they_are_waited_for(objects: ObjectStore, direct: DirectParts) -> None:
    multipart = direct.begin("a/b.zip")
    send(direct, multipart, 1, CONTENT)
    assert objects.sweep_unfinished(-2, keep={"a/b.zip"}) == 0
    assert len(direct.sent("a/b.zip", multipart)) == 1
    assert objects.sweep_unfinished(-2, keep={"a/b"}) == 1
    with pytest.raises(NotFound):
        direct.sent("a/b.zip", multipart)
    direct.abort("a/b.zip", multipart)


def test_a_link_is_for_one_size_and_digest(direct: DirectParts) -> None:
    """moto takes whatever comes; what is signed is what other servers hold the request against."""
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    link = direct.link("a/b.zip", "some", 7, size=len(CONTENT), md5=md5, seconds=60)
    asked = dict(httpx.URL(link.url).params)
    assert asked["partNumber"] == "7"
    assert asked["X-Amz-Expires"] == "60"
    assert asked["X-Amz-SignedHeaders"].split(";") == ["content-length", "content-md5", "host"]
    assert link.headers == {
        "Content-Length": str(len(CONTENT)),
        "Content-MD5": base64.b64encode(bytes.fromhex(md5)).decode(),
    }


def test_parts_grow_where_there_would_be_too_many(direct: DirectParts) -> None:
    assert direct.part_bytes(1) == direct.part_bytes(10**9)
    for size in (10**11, 10**12 + 1):
        part = direct.part_bytes(size)
        assert part % 2**20 == 0
        assert -(-size // part) <= 10_000


def test_a_server_that_is_away_has_a_name(tmp_path: Path) -> None:
    away = ObjectSettings(kind="s3", endpoint_url="http://127.0.0.1:1", access_key="a", secret_key="b", attempts=1)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        open_objects(Settings(home=tmp_path, objects=away))


def test_the_secret_is_not_printed() -> None:
    assert "s3cret" not in repr(Settings(objects=ObjectSettings(secret_key="s3cret")))
