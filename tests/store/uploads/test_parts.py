"""Parts of uploads on both databases: senders side by side, and a part that changes under the joining."""

from __future__ import annotations

import threading
from hashlib import sha256

import pytest
from sqlalchemy import update

from store.database.clock import database_now
from store.database.database import Database
from store.errors import NotReady
from store.objects import ObjectStore
from store.resources.files import get_file
from store.tables import uploads as table
from store.uploads.files import complete_upload, create_upload, get_upload
from store.uploads.parts import add_part, forget_abandoned, join_parts, list_parts, start_part
from tests.store.jobkit import TENANT

PIECES = [b"first", b"second", b"third"]
WANTED = [(number, sha256(piece).hexdigest()) for number, piece in enumerate(PIECES, start=1)]


@pytest.fixture
def upload(db: Database) -> str:
    content = b"".join(PIECES)
    digest = sha256(content).hexdigest()
    return create_upload(db, tenant=TENANT, filename="a.pkl", size=len(content), sha256=digest).upload.id


def send(db: Database, objects: ObjectStore, upload: str, number: int) -> None:
    piece = PIECES[number - 1]
    writer = start_part(db, objects, upload, sha256(piece).hexdigest(), tenant=TENANT)
    writer.write(piece)
    add_part(db, objects, upload, number, writer.finish(), tenant=TENANT)


def test_senders_side_by_side_leave_each_part_once(db: Database, objects: ObjectStore, upload: str) -> None:
    gate = threading.Barrier(6)

    def sender(number: int) -> None:
        gate.wait()
        send(db, objects, upload, number)

    threads = [threading.Thread(target=sender, args=(number,)) for number in (1, 2, 3, 1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(part.number, part.sha256) for part in list_parts(db, upload, tenant=TENANT)] == WANTED
    assert len(list(objects.list())) == 3
    joined = join_parts(db, objects, upload, WANTED, tenant=TENANT)
    assert complete_upload(db, upload, joined.info, tenant=TENANT).state == "complete"
    with objects.open(get_file(db, upload, "content", tenant=TENANT).key) as file:
        assert file.read() == b"".join(PIECES)
    with pytest.raises(NotReady):
        send(db, objects, upload, 1)
    assert get_upload(db, upload, tenant=TENANT).expires_at is None


def test_a_part_that_is_taken_away_while_they_are_joined_is_told(
    db: Database, objects: ObjectStore, upload: str
) -> None:
    for number in (1, 2, 3):
        send(db, objects, upload, number)
    objects.delete(get_file(db, upload, "parts/00003", tenant=TENANT).key)
    with pytest.raises(NotReady, match="complete it again"):
        join_parts(db, objects, upload, WANTED, tenant=TENANT)
    send(db, objects, upload, 3)
    assert join_parts(db, objects, upload, WANTED, tenant=TENANT).info.bytes == len(b"".join(PIECES))


def test_only_what_is_pending_and_late_is_forgotten(db: Database, objects: ObjectStore, upload: str) -> None:
    send(db, objects, upload, 1)
    assert forget_abandoned(db, objects) == 0
    with db.write() as connection:
        connection.execute(update(table).values(expires_at=database_now() - 1))
    send(db, objects, upload, 2)
    assert forget_abandoned(db, objects) == 0, "it was gone on with"
    with db.write() as connection:
        connection.execute(update(table).values(expires_at=database_now() - 1))
    assert forget_abandoned(db, objects) == 2
    assert list(objects.list()) == []
