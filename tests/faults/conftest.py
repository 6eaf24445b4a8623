"""A deployment of each test's own: PostgreSQL, Redis and an S3-compatible server, each behind a proxy."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from store.db import Database, open_database
from store.objects import ObjectStore, open_objects
from store.settings import BrokerSettings, Settings
from tests.faults.proxy import Proxy
from tests.servers import PostgresServer, RedisServer, S3Server
from tests.worker.conftest import quick_settings
from tests.worker.servicekit import start_worker


@dataclass
class Deployment:
    """`settings` are those of the workers, which reach everything through proxies; `db` and `objects` are direct."""

    settings: Settings
    db: Database
    objects: ObjectStore
    redis: RedisServer
    database: Proxy
    broker: Proxy
    storage: Proxy
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self, *, crash: str = "", clock: float = 0.0) -> subprocess.Popen[bytes]:
        """One more worker."""
        self.workers.append(start_worker(self.settings, broker=True, crash=crash, clock=clock))
        return self.workers[-1]


@pytest.fixture(autouse=True)
def children_find_the_tests(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes import test steps by name."""
    monkeypatch.setenv("PYTHONPATH", str(repository))


@pytest.fixture
def deployment(
    postgres_server: PostgresServer,
    postgres_url: str,
    redis_server: RedisServer,
    s3_server: S3Server,
    tmp_path: Path,
) -> Iterator[Deployment]:
    with ExitStack() as stack:
        database, broker, storage = (
            stack.enter_context(Proxy(server.port)) for server in (postgres_server, redis_server, s3_server)
        )
        direct = quick_settings(tmp_path, postgres_url)
        direct.objects = s3_server.settings(f"faults-{uuid.uuid4().hex}")
        workers = direct.model_copy(deep=True)
        # A transaction of this process may idle for longer than the workers' short leases when the machine is busy.
        direct.worker.lease_seconds = 60.0
        workers.database.url = postgres_url.replace(f":{postgres_server.port}/", f":{database.port}/")
        workers.database.busy_timeout_seconds = 3.0
        workers.broker = BrokerSettings(url=f"redis://127.0.0.1:{broker.port}/0", connect_timeout_seconds=1.0)
        workers.objects.endpoint_url = f"http://127.0.0.1:{storage.port}"
        db = open_database(direct)
        stack.callback(db.close)
        made = Deployment(workers, db, open_objects(direct), redis_server, database, broker, storage)
        yield made
        for process in made.workers:
            process.kill()
            process.wait()
