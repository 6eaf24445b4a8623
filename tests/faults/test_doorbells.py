"""Faults of the broker, on Redis and on RabbitMQ: hints are lost, repeated or nowhere to be had, and no work is."""

from __future__ import annotations

import time

import pytest
from kombu import Connection
from sqlalchemy import func, select

from store.jobs.kinds import QUEUES
from store.jobs.views import Job
from store.tables import outbox, shards
from tests.faults.conftest import BROKERS, Deployment
from tests.worker.servicekit import submit, view, wait_until
from worker.service.celery_app import create_app, queue_names, ring

pytestmark = [pytest.mark.timeout(240), pytest.mark.parametrize("doorbell", BROKERS, indirect=True)]


def test_hints_that_are_lost_are_rung_again(deployment: Deployment) -> None:
    job = submit(deployment.db, count=4)
    wait_until(lambda: _waiting_hints(deployment) == 0)
    lost = _purge(deployment)
    deployment.worker()
    deployment.ends_well(job, 4)
    assert lost >= 1
    assert view(deployment.db, job).attempts == 1


def test_fifty_hints_for_each_shard_are_one_execution(deployment: Deployment) -> None:
    deployment.worker()
    deployment.worker()
    job = submit(deployment.db, count=3, seconds=0.2)
    wait_until(lambda: view(deployment.db, job).state == "running" and len(_shards(deployment, job)) > 1)
    app = create_app(deployment.settings)
    for shard_id, queue in _shards(deployment, job):
        for _ in range(50):
            ring(app, shard_id, queue)
    deployment.ends_well(job, 3)
    assert view(deployment.db, job).attempts == 1


def test_a_job_is_accepted_and_done_though_the_broker_is_down_at_first(deployment: Deployment) -> None:
    deployment.doorbell.kill()
    deployment.broker.cut()
    deployment.worker()
    before = time.monotonic()
    job = submit(deployment.db, count=3)
    assert time.monotonic() - before < 5, "nobody waits for a broker"
    time.sleep(2.0)
    assert view(deployment.db, job).state == "queued"
    deployment.doorbell.start()
    deployment.ends_well(job, 3)


@pytest.mark.slow
def test_the_broker_is_restarted_again_and_again_and_swallows_everything(deployment: Deployment) -> None:
    deployment.worker()
    job = submit(deployment.db, count=8, seconds=0.2)
    # A RabbitMQ node takes seconds for each.
    for _ in range(20 if deployment.settings.broker.url.startswith("redis") else 3):
        deployment.doorbell.kill()
        deployment.doorbell.start()
    deployment.broker.blackhole = True
    time.sleep(1.0)
    deployment.broker.blackhole = False
    deployment.broker.cut()
    deployment.ends_well(job, 8)


def _waiting_hints(deployment: Deployment) -> int:
    with deployment.db.read() as connection:
        return int(connection.execute(select(func.count()).select_from(outbox)).scalar_one())


def _shards(deployment: Deployment, job: Job) -> list[tuple[str, str]]:
    with deployment.db.read() as connection:
        rows = connection.execute(select(shards.c.id, shards.c.queue).where(shards.c.job_id == job.id)).all()
    return [(row.id, row.queue) for row in rows]


def _purge(deployment: Deployment) -> int:
    """Throw away what the queues hold; how many messages that were."""
    with Connection(deployment.doorbell.url) as connection, connection.channel() as channel:
        return sum(_purged(channel, name) for name in queue_names(deployment.settings, QUEUES))


def _purged(channel: object, name: str) -> int:
    channel.queue_declare(name, durable=True, auto_delete=False)  # type: ignore[attr-defined]
    return int(channel.queue_purge(name) or 0)  # type: ignore[attr-defined]
