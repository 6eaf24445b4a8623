"""No shard is claimed before a child has loaded, and a machine on which none can start takes no work at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from store.database.database import Database
from store.objects import ObjectStore
from store.settings import Settings
from tests.servers import RedisServer
from tests.worker.servicekit import STEPS, submit, view, wait_until
from worker.runtime.supervisor import Supervisor

SLOW = f"import time\n\ntime.sleep(1.5)\nfrom {STEPS} import STEPS\n"


def test_a_worker_claims_nothing_while_its_child_loads(
    settings: Settings,
    db: Database,
    objects: ObjectStore,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "slow_steps.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", f"{repository}:{tmp_path}")
    job = submit(db, count=2)
    supervisor = Supervisor(settings, db, objects, steps="slow_steps")
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        time.sleep(1.0)
        assert view(db, job).state == "queued", "another worker could have it"
        wait_until(lambda: view(db, job).state == "succeeded")
    finally:
        supervisor.stop()
        thread.join(20)


def test_a_worker_whose_children_cannot_start_ends_and_fails_no_job(
    settings: Settings, db: Database, objects: ObjectStore
) -> None:
    job = submit(db, count=2)
    supervisor = Supervisor(settings, db, objects, steps="no.such.steps")
    supervisor.run()
    assert "No module named 'no'" in supervisor.despair
    seen = view(db, job)
    assert (seen.state, seen.attempts) == ("queued", 0)


def test_stopping_does_not_wait_for_a_child_that_cannot_start(
    settings: Settings, db: Database, objects: ObjectStore
) -> None:
    supervisor = Supervisor(settings, db, objects, steps="no.such.steps")
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_until(lambda: supervisor._children._failed_starts >= 1)
    supervisor.stop()
    thread.join(1.0)
    assert not thread.is_alive()
    assert not supervisor.despair


@pytest.mark.parametrize("broker", [False, True])
def test_the_program_says_why_it_cannot_work_and_ends(
    settings: Settings, db: Database, redis_server: RedisServer, repository: Path, tmp_path: Path, broker: bool
) -> None:
    job = submit(db, count=1)
    (tmp_path / "torch.py").write_text("raise ImportError('libcuda is too old for this torch')\n")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}:{repository}",
        "OFFHAND_HOME": str(settings.home),
        "OFFHAND_GENERATORS_FOLDER": settings.generators_folder,
        "OFFHAND_BROKER__URL": redis_server.url,
        "OFFHAND_WORKER__DEVICE": "cpu",
    }
    command = [sys.executable, "-m", "worker", *([] if broker else ["--embedded"])]
    if broker:
        relay = subprocess.Popen(
            [sys.executable, "-m", "worker.service.relay"], env=environment, stderr=subprocess.DEVNULL
        )
    try:
        ended = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        if broker:
            relay.kill()
            relay.wait()
    assert ended.returncode == 1
    assert "\nworker: cannot work on this machine (run `offhand doctor`)" in ended.stderr
    assert "libcuda is too old for this torch" in ended.stderr.splitlines()[-1]
    seen = view(db, job)
    assert (seen.state, seen.attempts) == ("queued", 0)
