"""Quotas under requests that come at the same time, over connections of several processes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, select

from store.database.database import Database, create_database_engine
from store.errors import QuotaExceeded
from store.objects import ObjectInfo, ObjectStore
from store.tables import jobs, webhook_endpoints
from store.tenancy.tenants import quotas
from store.uploads.files import add_received, complete_upload, create_upload
from store.uploads.parts import add_part
from store.webhooks.endpoints import MAX_ENDPOINTS, create_endpoint
from tests.store.jobkit import TENANT, submit


@pytest.fixture
def processes(db: Database) -> Iterator[list[Database]]:
    """The database as two processes have it open, each with connections and locks of its own."""
    other = Database(create_database_engine(db.settings), db.settings)
    yield [db, other]
    other.close()


def at_once(count: int, processes: list[Database], call: Callable[[Database, int], object]) -> int:
    """Make `count` calls at the same time; the number that were not refused by a quota."""
    gate, accepted, others = threading.Barrier(count), [], []

    def one(number: int) -> None:
        gate.wait()
        try:
            call(processes[number % len(processes)], number)
            accepted.append(number)
        except QuotaExceeded:
            pass
        except Exception as error:
            others.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert others == []
    return len(accepted)


def used(db: Database, name: str) -> int | None:
    return {quota.name: quota.used for quota in quotas(db, tenant=TENANT)}[name]


def stored(number: int, size: int) -> ObjectInfo:
    return ObjectInfo(f"uploads/{number}", size, hashlib.sha256(b"%d" % number).hexdigest(), 0.0)


def test_fifty_parallel_jobs_fill_the_quota_of_queued_jobs_exactly(processes: list[Database]) -> None:
    processes[0].settings.limits.queued_jobs = 5
    assert at_once(50, processes, lambda db, _: submit(db)) == 5
    assert used(processes[0], "queued_jobs") == 5


def test_fifty_parallel_uploads_stay_within_the_stored_bytes(processes: list[Database]) -> None:
    processes[0].settings.limits.stored_bytes = 1000

    def receive(db: Database, number: int) -> None:
        add_received(db, f"upl_{number}", stored(number, 150), tenant=TENANT, filename="a.zip")

    assert at_once(50, processes, receive) == 6
    assert used(processes[0], "stored_bytes") == 900


def test_uploads_declared_before_the_quota_was_used_up_are_refused_at_their_bytes(processes: list[Database]) -> None:
    db = processes[0]
    db.settings.limits.stored_bytes = 1000
    declared = [
        create_upload(db, tenant=TENANT, filename="a.zip", size=400, sha256=stored(number, 400).sha256).upload.id
        for number in range(8)
    ]

    def complete(db: Database, number: int) -> None:
        complete_upload(db, declared[number], stored(number, 400), tenant=TENANT)

    assert at_once(8, processes, complete) == 2
    assert used(db, "stored_bytes") == 800


def test_parts_of_an_upload_are_not_counted_twice_when_it_is_completed(db: Database, objects: ObjectStore) -> None:
    db.settings.limits.stored_bytes = 1000
    whole = stored(0, 900)
    upload = create_upload(db, tenant=TENANT, filename="a.zip", size=900, sha256=whole.sha256).upload
    add_part(db, objects, upload.id, 1, stored(1, 900), tenant=TENANT)
    assert complete_upload(db, upload.id, whole, tenant=TENANT).state == "complete"
    assert used(db, "stored_bytes") == 900


def test_parallel_webhook_endpoints_stay_within_their_limit(processes: list[Database]) -> None:
    def create(db: Database, number: int) -> None:
        create_endpoint(db, tenant=TENANT, url=f"https://hooks.example/{number}", lookup=lambda *_: ["1.1.1.1"])

    assert at_once(MAX_ENDPOINTS + 10, processes, create) == MAX_ENDPOINTS
    with processes[0].read() as connection:
        assert connection.execute(select(func.count()).select_from(webhook_endpoints)).scalar_one() == MAX_ENDPOINTS


def test_a_full_quota_of_one_tenant_does_not_hold_up_another(processes: list[Database]) -> None:
    processes[0].settings.limits.queued_jobs = 3
    made = at_once(20, processes, lambda db, number: submit(db, tenant=f"tenant-{number % 2}"))
    assert made == 6
    with processes[0].read() as connection:
        counted = connection.execute(select(jobs.c.tenant, func.count()).group_by(jobs.c.tenant)).all()
    assert sorted(tuple(row) for row in counted) == [("tenant-0", 3), ("tenant-1", 3)]
