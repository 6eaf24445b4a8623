"""Cancelling while a real step computes: training, inversion and evaluation end within five seconds."""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store.database.database import Database, open_database
from store.job_kinds.evaluate import EvaluateSpec
from store.job_kinds.train_encoder import TrainEncoderSpec
from store.job_kinds.train_labeler import TrainLabelerSpec
from store.jobs.cancel import cancel_job
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.settings import Settings, WorkerSettings
from tests.e2e import tiny
from tests.servers import wait_until
from tests.worker.inline import TENANT, InlineWorker, generate, upload, view
from worker.runtime.supervisor import Supervisor

#: Seconds that a real child may take to load torch and to reach the step.
START_SECONDS = 120.0


class Service:
    """A finished dataset, other labels, and a supervisor with a real child that hears nothing by its heartbeats."""

    def __init__(self, home: Path) -> None:
        generator = tiny.write_generator(home / "generators")
        tiny.write_labels(home / "labels.zip", generator, count=6)
        settings = Settings(
            home=home,
            generators_folder=str(home / "generators"),
            worker=WorkerSettings(
                batch=4,
                device="cpu",
                threads=1,
                heartbeat_seconds=60.0,
                lease_seconds=300.0,
                min_reconstruction_psnr=0.0,
            ),
        )
        self.db: Database = open_database(settings)
        self.objects: ObjectStore = open_objects(settings)
        self.labels = upload(self.db, self.objects, home / "labels.zip")
        made = generate(self.db, self.labels)
        InlineWorker(self.db, self.objects).run()
        self.dataset = view(self.db, made).result.dataset
        tiny.write_labels(home / "other.zip", generator, count=9)
        with zipfile.ZipFile(home / "other.zip") as source, zipfile.ZipFile(home / "held_out.zip", "w") as target:
            for name in source.namelist():
                if name == "classes.json" or int(Path(name).stem) >= 6:
                    target.writestr(name, source.read(name))
        self.held_out = upload(self.db, self.objects, home / "held_out.zip")
        self.supervisor = Supervisor(settings, self.db, self.objects)
        self._thread = threading.Thread(target=self.supervisor.run)
        self._thread.start()

    def close(self) -> None:
        self.supervisor.stop()
        self._thread.join(timeout=30)
        self.db.close()

    def train_labeler(self) -> Job:
        spec: dict[str, Any] = {"labels": self.labels, "generator": tiny.NAME, "inversion": {"steps": 2}}
        spec["labeler"] = {"members": 64, "hidden": [4096, 4096], "max_steps": 10_000_000}
        return submit_request(self.db, TrainLabelerSpec.model_validate(spec), tenant=TENANT).job

    def invert(self) -> Job:
        spec: dict[str, Any] = {"labels": self.labels, "generator": tiny.NAME, "inversion": {"steps": 10_000}}
        return submit_request(self.db, TrainLabelerSpec.model_validate(spec), tenant=TENANT).job

    def train_encoder(self) -> Job:
        spec = TrainEncoderSpec(generator=tiny.NAME, train_on="samples", steps=1_000_000, image_size=16)
        return submit_request(self.db, spec, tenant=TENANT).job

    def evaluate(self) -> Job:
        spec = EvaluateSpec(dataset=self.dataset, labels=self.held_out, steps=1_000_000, repeats=1)
        return submit_request(self.db, spec, tenant=TENANT).job


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("canceling"))
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", ["train_labeler", "invert", "train_encoder", "evaluate"])
def test_a_step_that_computes_ends_within_five_seconds_of_cancel(service: Service, step: str) -> None:
    start: Callable[[], Job] = getattr(service, step)
    job = start()

    def computes() -> bool:
        now = view(service.db, job)
        assert now.state != "failed", now.error
        return any(one.name == step and one.state == "running" for one in now.steps)

    wait_until(computes, f"{step} to begin", START_SECONDS)
    time.sleep(3.0)  # the step has loaded its models and computes
    before = time.monotonic()
    cancel_job(service.db, job.id, tenant=TENANT)
    wait_until(lambda: view(service.db, job).state == "canceled", f"{step} to end", 15.0)
    assert time.monotonic() - before < 5.0
