"""A service of the benchmark's own: a fresh database, jobs of the stand-in sampler, worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select

from benchmarks.jobs.worker import VARIABLE
from store.database.database import Database, open_database
from store.jobs.kinds import JobKind, StepPlan
from store.jobs.submit import submit_job
from store.jobs.views import Job, Step, job_view
from store.settings import DatabaseSettings, Settings, WorkerSettings
from store.tables import shards as shards_table
from store.tables import workers
from tests.servers import PostgresServer, free_port

DATABASES = ("sqlite", "postgresql")
TENANT = "local"
KIND: JobKind[Any] = JobKind(
    "benchmark",
    (
        StepPlan("plan", "train"),
        StepPlan("work", "sample", fan_out=True, counts_images=True),
        StepPlan("finish", "cpu"),
    ),
)
#: Where `python -m benchmarks.jobs…` is found.
ROOT = Path(__file__).parents[2]


@contextmanager
def fresh_service(database: str, **worker: Any) -> Iterator[Database]:
    """An empty database of the named kind with a folder for objects; `worker`: settings of workers that differ from
    the defaults. Raises tests.servers.ServerMissing.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offhand-jobs-")))
        url = ""
        if database == "postgresql":
            server = stack.enter_context(PostgresServer())
            name = f"benchmark_{uuid.uuid4().hex}"
            server.execute(f'CREATE DATABASE "{name}"')
            url = server.database_url(name)
        settings = Settings(
            home=home,
            generators_folder=str(home / "generators"),
            database=DatabaseSettings(url=url),
            worker=WorkerSettings(**worker),
        )
        db = open_database(settings)
        stack.callback(db.close)
        yield db


@contextmanager
def running_workers(db: Database, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """`count` worker processes, each of which has been heard and has had its child do a shard."""
    environment = {**os.environ, VARIABLE: db.settings.model_dump_json(), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.jobs.worker"]
    processes = [subprocess.Popen(command, env=environment, cwd=ROOT) for _ in range(count)]
    try:
        wait_until(lambda: _heard(db) >= count, "workers")
        # Starting is not what is measured. A worker claims once its child has loaded.
        while _have_worked(db) < count:
            ended(db, submit(db, shards=2 * count, seconds=0.2))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def running_program(environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m` of the words. What it says on its way (of a broker that is silent, say) is no news here."""
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", *words], env=environment, cwd=ROOT, **silent)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_api(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The real API over what the environment's settings name, once it listens; the process and its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running_program({**environment, "OFFHAND_API__PORT": str(port)}, "api") as process:
        wait_until(lambda: _answers(url), "the API")
        yield process, url


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _heard(db: Database) -> int:
    with db.read() as connection:
        return int(connection.execute(select(func.count()).select_from(workers)).scalar_one())


def _have_worked(db: Database) -> int:
    """Workers that have committed a shard."""
    with db.read() as connection:
        done = select(func.count(shards_table.c.owner.distinct())).where(shards_table.c.state == "succeeded")
        return int(connection.execute(done).scalar_one())


def submit(db: Database, *, shards: int, **spec: Any) -> Job:
    """A job of so many shards; `spec`: `seconds` to sleep and `rounds` to hash in each."""
    return submit_job(db, KIND, tenant=TENANT, spec={"shards": shards, **spec}, total=shards, seed=0).job


def ended(db: Database, job: Job, seconds: float = 3600.0) -> Job:
    """The job at its end. Raises RuntimeError when that is no success."""
    wait_until(lambda: job_view(db, job.id, tenant=TENANT).terminal, "the job's end", seconds)
    seen = job_view(db, job.id, tenant=TENANT)
    if seen.state != "succeeded":
        raise RuntimeError(f"the job {seen.state}: {seen.error}")
    return seen


def seconds_of(step: Step) -> float:
    """From the claim of the step's first shard to the commit of its last, by the database's clock."""
    assert step.started_at is not None
    assert step.finished_at is not None
    return (step.finished_at - step.started_at).total_seconds()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 300.0, pause: float = 0.02) -> None:
    """Return once the condition holds, looked at every `pause` seconds. Raises TimeoutError that names `what`."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
