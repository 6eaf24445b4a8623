"""A worker serves other jobs between the items of a long step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from store.database.database import open_database
from store.jobs.kinds import JobKind, StepPlan
from store.jobs.results import shard_results
from store.jobs.submit import submit_job
from store.jobs.views import job_view
from store.objects import open_objects
from store.settings import Settings, WorkerSettings
from store.tables import shards
from tests.worker.servicekit import TENANT, submit
from worker.runtime.supervisor import Supervisor

KIND: JobKind[Any] = JobKind("long", (StepPlan("train", "train"),))


def test_embedded_worker_serves_another_job_between_the_items_of_a_long_step(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        generators_folder=str(tmp_path / "generators"),
        worker=WorkerSettings(device="cpu", shard_seconds=1e-9),
    )
    db, objects = open_database(settings), open_objects(settings)
    long = submit_job(db, KIND, tenant=TENANT, spec={"units": 4}).job
    short = submit(db, count=2)
    supervisor = Supervisor(settings, db, objects, steps="tests.worker.chainsteps")
    try:
        supervisor.run_until_idle()
    finally:
        supervisor.close()
    with db.read() as connection:
        rows = connection.execute(select(shards.c.job_id).order_by(shards.c.started_at)).scalars().all()
    assert rows == [long.id, *4 * [short.id], *3 * [long.id]]
    for job in (long, short):
        assert job_view(db, job.id, tenant=TENANT).state == "succeeded"
    step = job_view(db, long.id, tenant=TENANT).steps[0]
    assert (step.done, step.total) == (4, 4)
    values = [one.value for one in shard_results(db, long.id, "train")]
    assert values == [{}, {}, {}, {"done": 4, "items": 4}], "each item went on from the one before"
    stored = {found.key for found in objects.list()}
    assert not any(key.startswith("work/") and "checkpoint" in key for key in stored), "no state is left behind"
    db.close()
