"""Workers are replaced one by one: old and new ones share the tables, and each does only what it knows."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from store.database.database import Database, open_database
from store.jobs.kinds import StepPlan
from store.jobs.submit import submit_job
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.settings import Settings
from tests.worker.conftest import quick_settings
from tests.worker.servicekit import KIND, TENANT, assert_survived, start_worker, submit, view, wait_until
from worker.runtime.supervisor import Supervisor

#: What the newer program asks for.
NEWER = replace(KIND, name="newer", steps=(*KIND.steps[:2], StepPlan("look", "cpu"), KIND.steps[2]))


def _submit_newer(db: Database) -> Job:
    return submit_job(db, NEWER, tenant=TENANT, spec={"shards": 2}, total=2, seed=7).job


def test_a_worker_leaves_steps_that_it_does_not_know(settings: Settings, db: Database, objects: ObjectStore) -> None:
    job, other = _submit_newer(db), submit(db, count=1)
    old = Supervisor(settings, db, objects, steps="tests.worker.teststeps")
    old.run_until_idle()
    old.close()
    assert [step.state for step in view(db, job).steps] == ["succeeded", "succeeded", "pending", "pending"]
    assert view(db, other).state == "succeeded", "what it does not know keeps it from nothing"
    new = Supervisor(settings, db, objects, steps="tests.worker.newsteps")
    assert new.run_until_idle() == 2
    new.close()
    assert (view(db, job).state, view(db, job).attempts) == ("succeeded", 1)


@pytest.mark.timeout(240)
def test_workers_are_replaced_while_jobs_run(
    postgres_url: str, tmp_path: Path, workers: list[subprocess.Popen[bytes]]
) -> None:
    settings = quick_settings(tmp_path, postgres_url)
    # Nobody dies here, and on a busy machine a short lease ends by itself.
    settings.worker.lease_seconds = 60.0
    db = open_database(settings)
    workers.append(start_worker(settings))
    job = submit(db, count=6, seconds=0.5)
    wait_until(lambda: view(db, job).steps[1].state == "running")
    # The new API comes first: it adds to the tables, and takes jobs that old workers cannot finish.
    with db.write() as connection:
        connection.execute(text("ALTER TABLE shards ADD COLUMN colour VARCHAR(8) DEFAULT '' NOT NULL"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    newer = _submit_newer(db)
    # An old worker that ends is started again, by whatever looks after it, beside tables that it has never seen.
    workers[0].send_signal(signal.SIGTERM)
    assert workers[0].wait(20) == 0
    workers.append(start_worker(settings))
    wait_until(lambda: view(db, job).state == "succeeded")
    wait_until(lambda: view(db, newer).steps[1].state == "succeeded")
    time.sleep(0.5)
    assert view(db, newer).steps[2].state == "pending"
    workers.append(start_worker(settings, steps="tests.worker.newsteps"))
    wait_until(lambda: view(db, newer).state == "succeeded")
    workers[1].send_signal(signal.SIGTERM)
    assert workers[1].wait(20) == 0
    last = submit(db, count=2)
    wait_until(lambda: view(db, last).state == "succeeded")
    assert [view(db, one).attempts for one in (newer, last)] == [1, 1]
    assert_survived(db, open_objects(settings), last, 2)
    db.close()
