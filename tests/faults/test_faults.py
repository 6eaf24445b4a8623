"""Faults of what a deployment leans on: database, object store, clock, and the API's own death.

Those of brokers are in test_doorbells.py; deaths of workers, zombies and clean stops in tests/worker/test_crashes.py.
All of them end with the same oracle.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from store.crash import VARIABLE
from store.database.database import Database, open_database
from store.errors import StoreUnavailable
from store.jobs.claims import claim
from store.jobs.commits import StepResult, commit
from store.jobs.shards import ShardPlan
from store.objects import open_objects
from store.settings import Settings
from store.tables import jobs
from tests.data_folder import archive, fresh_database, generators, settings
from tests.faults.conftest import Deployment
from tests.faults.proxy import Proxy, once
from tests.servers import PostgresServer, S3Server, free_port
from tests.worker.conftest import quick_settings
from tests.worker.servicekit import submit, view, wait_until

__all__ = ["archive", "fresh_database", "generators", "settings"]

pytestmark = pytest.mark.timeout(240)

LARGE = b"0123456789abcdef" * (6 * 1024**2 // 16)


def test_the_database_restarts_under_the_workers(deployment: Deployment, postgres_server: PostgresServer) -> None:
    deployment.worker()
    job = submit(deployment.db, count=6, seconds=0.3)
    wait_until(lambda: view(deployment.db, job).state == "running")
    for _ in range(2):
        postgres_server.restart()
        time.sleep(0.5)
    deployment.database.cut()
    wait_until(lambda: _reachable(deployment.db))
    deployment.ends_well(job, 6)


def _reachable(db: Database) -> bool:
    try:
        db.ping()
    except StoreUnavailable:
        return False
    return True


def test_a_commit_whose_answer_is_lost_stands_once(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    direct = quick_settings(tmp_path, postgres_url)
    with Proxy(postgres_server.port) as proxy:
        through = quick_settings(tmp_path, postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
        watching, db = open_database(direct), open_database(through)
        job = submit(db, count=1)
        taken = claim(db, "worker")
        assert taken is not None
        proxy.meddle = once("lose_reply", b"COMMIT")
        with pytest.raises(StoreUnavailable):
            commit(db, taken, _plan())
        wait_until(lambda: view(watching, job).steps[0].state == "succeeded", 20)
        assert commit(db, taken, _plan()).done, "asked again, it finds that it stands"
        assert len(view(watching, job).steps) == 3
        assert view(watching, job).steps[1].total == 1
        watching.close()
        db.close()


def _plan() -> StepResult:
    return StepResult(fan_out=(ShardPlan({"index": 0}, 1),))


@pytest.mark.parametrize("fault", ["lose_reply", "truncate", "refuse"])
@pytest.mark.parametrize("word", [b"PUT /", b"POST /", b"uploadId="])
def test_objects_arrive_whole_though_the_way_to_them_breaks(
    s3_server: S3Server, tmp_path: Path, fault: str, word: bytes
) -> None:
    chosen = s3_server.settings(f"broken-{fault.replace('_', '')}-{len(word)}")
    with Proxy(s3_server.port) as proxy:
        chosen.endpoint_url = f"http://127.0.0.1:{proxy.port}"
        objects = open_objects(Settings(home=tmp_path, objects=chosen))
        proxy.meddle = once(fault, word)
        stored = objects.put("work/a", LARGE, size=len(LARGE))
        assert b"".join(objects.read("work/a")) == LARGE
        assert stored.bytes == len(LARGE)
        objects.sweep_unfinished(-10)
        assert [found.key for found in objects.list()] == ["work/a"]


def test_workers_go_on_though_storage_is_slow_and_breaks(deployment: Deployment) -> None:
    deployment.worker()
    deployment.storage.delay = 0.05
    job = submit(deployment.db, count=4)
    for _ in range(5):
        time.sleep(0.4)
        deployment.storage.cut()
    deployment.ends_well(job, 4)


def test_wrong_wall_clocks_change_nothing(deployment: Deployment) -> None:
    deployment.worker(clock=3600.0)
    deployment.worker(clock=-3600.0)
    job = submit(deployment.db, count=6, seconds=0.2)
    deployment.ends_well(job, 6)
    assert view(deployment.db, job).attempts == 1


@pytest.mark.parametrize(("point", "made"), [("api.before_commit", 0), ("api.after_commit", 1)])
def test_the_api_dies_around_a_commit_and_the_key_gives_the_job_once(
    settings: Settings, fresh_database: Path, archive: bytes, tmp_path: Path, point: str, made: int
) -> None:
    once_only = tmp_path / "died"
    first = _api(settings, f"{point}:{once_only}")
    try:
        with httpx.Client(base_url=first.url, timeout=30) as http:
            sent = http.post("/v1/uploads", content=archive, headers={"Content-Type": "application/zip"})
            wish = {"kind": "generate", "labels": sent.json()["id"], "generator": "tiny", "count": 5}
            with pytest.raises(httpx.TransportError):
                http.post("/v1/jobs", json=wish, headers={"Idempotency-Key": "once"})
        assert first.process.wait(20) == -signal.SIGKILL
    finally:
        first.process.kill()
    db = open_database(settings)
    with db.read() as connection:
        assert connection.execute(select(func.count()).select_from(jobs)).scalar_one() == made
    second = _api(settings, "")
    try:
        with httpx.Client(base_url=second.url, timeout=30) as http:
            answers = [http.post("/v1/jobs", json=wish, headers={"Idempotency-Key": "once"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json()["id"] == answers[1].json()["id"]
    finally:
        second.process.kill()
        second.process.wait()
    with db.read() as connection:
        assert connection.execute(select(func.count()).select_from(jobs)).scalar_one() == 1
    db.close()


class _Api:
    def __init__(self, settings: Settings, crash: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "OFFHAND_HOME": str(settings.home),
            "OFFHAND_GENERATORS_FOLDER": settings.generators_folder,
            "OFFHAND_API__PORT": str(port),
            VARIABLE: crash,
        }
        self.process = subprocess.Popen([sys.executable, "-m", "api"], env=environment)


def _api(settings: Settings, crash: str) -> _Api:
    started = _Api(settings, crash)
    wait_until(lambda: _answers(started.url), 60)
    return started


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False
