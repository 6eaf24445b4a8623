"""A deployment of each test's own: PostgreSQL, a broker and an S3-compatible server, each behind a proxy."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store.database.database import Database, open_database
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.settings import BrokerSettings, Settings
from store.sweep import sweep
from tests.faults.proxy import Proxy
from tests.servers import PostgresServer, RabbitServer, RedisServer, S3Server
from tests.worker.conftest import quick_settings
from tests.worker.servicekit import assert_survived, start_relay, start_worker, view, wait_until

#: For `@pytest.mark.parametrize("doorbell", BROKERS, indirect=True)`. RabbitMQ takes seconds to start.
BROKERS = ["redis_server", pytest.param("rabbit_server", marks=pytest.mark.slow)]


@dataclass
class Deployment:
    """`settings` are those of relay and workers, which reach everything through proxies; `db` and `objects` are direct.
    The relay runs from the beginning.
    """

    settings: Settings
    db: Database
    objects: ObjectStore
    doorbell: RedisServer | RabbitServer
    database: Proxy
    broker: Proxy
    storage: Proxy
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    relays: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def relay(self, *, crash: str = "") -> subprocess.Popen[bytes]:
        """One more relay."""
        self.relays.append(start_relay(self.settings, crash=crash))
        return self.relays[-1]

    def ends_well(self, job: Job, count: int) -> None:
        """Wait for the job's end, sweep, and ask the oracle."""
        wait_until(lambda: view(self.db, job).terminal)
        # Twice a lease, after which nothing that no row names is waited for.
        self.db.settings.worker.lease_seconds = -10.0
        sweep(self.db, self.objects)
        assert_survived(self.db, self.objects, job, count)

    def kill(self) -> None:
        """End every process."""
        for process in (*self.workers, *self.relays):
            process.kill()
            process.wait()

    def worker(self, *, crash: str = "", clock: float = 0.0) -> subprocess.Popen[bytes]:
        """One more worker."""
        self.workers.append(start_worker(self.settings, broker=True, crash=crash, clock=clock))
        return self.workers[-1]


@pytest.fixture(autouse=True)
def children_find_the_tests(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes import test steps by name."""
    monkeypatch.setenv("PYTHONPATH", str(repository))


@pytest.fixture
def doorbell(request: pytest.FixtureRequest) -> RedisServer | RabbitServer:
    """The broker: Redis, unless a test is parametrized over `BROKERS`."""
    server: RedisServer | RabbitServer = request.getfixturevalue(getattr(request, "param", "redis_server"))
    return server


@pytest.fixture
def deployment(
    postgres_server: PostgresServer,
    postgres_url: str,
    doorbell: RedisServer | RabbitServer,
    s3_server: S3Server,
    tmp_path: Path,
) -> Iterator[Deployment]:
    with ExitStack() as stack:
        database, broker, storage = (
            stack.enter_context(Proxy(server.port)) for server in (postgres_server, doorbell, s3_server)
        )
        direct = quick_settings(tmp_path, postgres_url)
        direct.objects = s3_server.settings(f"faults-{uuid.uuid4().hex}")
        workers = direct.model_copy(deep=True)
        # A transaction of this process may idle for longer than the workers' short leases when the machine is busy.
        direct.worker.lease_seconds = 60.0
        workers.database.url = postgres_url.replace(f":{postgres_server.port}/", f":{database.port}/")
        workers.database.busy_timeout_seconds = 3.0
        through = doorbell.url.replace(f":{doorbell.port}/", f":{broker.port}/")
        workers.broker = BrokerSettings(url=through, connect_timeout_seconds=1.0)
        workers.objects.endpoint_url = f"http://127.0.0.1:{storage.port}"
        db = open_database(direct)
        stack.callback(db.close)
        made = Deployment(workers, db, open_objects(direct), doorbell, database, broker, storage)
        stack.callback(made.kill)
        made.relay()
        yield made
