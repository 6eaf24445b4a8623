"""Workers behind a real Redis: the broker is a doorbell, and may break."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from sqlalchemy import func, select

from store.database.database import Database, open_database
from store.objects import ObjectStore
from store.settings import BrokerSettings, Settings
from store.tables import outbox
from tests.servers import RedisServer
from tests.worker.conftest import quick_settings
from tests.worker.servicekit import assert_survived, start_relay, start_worker, submit, view, wait_until
from worker.service.celery_app import create_app, ring

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def settings(postgres_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """A deployment as it is meant: PostgreSQL and Redis."""
    made = quick_settings(tmp_path, postgres_url)
    made.broker = BrokerSettings(url=redis_url)
    return made


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    # A transaction of this process may idle for longer than the workers' short leases when the machine is busy.
    patient = settings.model_copy(deep=True)
    patient.worker.lease_seconds = 60.0
    database = open_database(patient)
    yield database
    database.close()


def test_two_workers_share_a_job_and_fifty_false_hints_do_no_harm(
    settings: Settings, db: Database, objects: ObjectStore, workers: list
) -> None:
    workers += [start_relay(settings), start_worker(settings, broker=True), start_worker(settings, broker=True)]
    app = create_app(settings)
    for _ in range(50):
        ring(app, "shard_that_is_not_there", "sample")
    job = submit(db, count=8, seconds=0.2)
    wait_until(lambda: view(db, job).state == "succeeded")
    assert_survived(db, objects, job, 8)
    before = time.monotonic()
    for process in workers:
        process.send_signal(signal.SIGTERM)
    for process in workers:
        process.wait(15)
    assert time.monotonic() - before < 15


def test_the_broker_is_killed_and_comes_back_empty(
    settings: Settings, db: Database, objects: ObjectStore, workers: list, redis_server: RedisServer
) -> None:
    workers += [start_relay(settings), start_worker(settings, broker=True)]
    job = submit(db, count=3, seconds=0.2)
    wait_until(lambda: view(db, job).steps[1].done >= 1)
    redis_server.kill()
    second = submit(db, count=2)
    time.sleep(1.0)
    redis_server.start()
    for made, count in ((job, 3), (second, 2)):
        wait_until(lambda made=made: view(db, made).state == "succeeded")
        assert_survived(db, objects, made, count)


def test_publishing_to_a_broker_that_is_away_fails_soon(settings: Settings, redis_server: RedisServer) -> None:
    redis_server.kill()
    before = time.monotonic()
    with pytest.raises(OperationalError):
        ring(create_app(settings), "shard", "sample")
    assert time.monotonic() - before < 5
    redis_server.start()


def test_the_relay_dies_between_ringing_and_forgetting_and_another_goes_on(
    settings: Settings, db: Database, objects: ObjectStore, workers: list, tmp_path: Path
) -> None:
    workers.append(start_worker(settings, broker=True))
    job = submit(db, count=3)
    first = start_relay(settings, crash=f"relay.after_ring:{tmp_path / 'died'}")
    workers.append(first)
    assert first.wait(60) == -signal.SIGKILL
    workers.append(start_relay(settings))
    wait_until(lambda: view(db, job).state == "succeeded")
    assert_survived(db, objects, job, 3)
    assert view(db, job).attempts == 1, "a hint that comes twice is one attempt"


def test_a_relay_stops_in_order(settings: Settings, db: Database, workers: list) -> None:
    relay = start_relay(settings)
    workers.append(relay)
    submit(db, count=1)
    wait_until(lambda: _hints(db) == 0)
    relay.send_signal(signal.SIGTERM)
    assert relay.wait(15) == 0


def _hints(db: Database) -> int:
    with db.read() as connection:
        return int(connection.execute(select(func.count()).select_from(outbox)).scalar_one())
