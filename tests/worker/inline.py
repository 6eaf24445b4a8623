"""The real steps in the test's own process: claims and commits are real, only the child is left out."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store.database.database import Database, open_database
from store.job_kinds.generate import GenerateSpec
from store.jobs.claims import Claim, claim, log_figures, save_checkpoint
from store.jobs.commits import commit, fail
from store.jobs.submit import submit_request
from store.jobs.views import Job, job_view
from store.objects import ObjectStore, open_objects
from store.resources.files import get_file, list_files
from store.settings import Settings, WorkerSettings
from store.uploads.files import complete_upload, create_upload, start_upload
from worker.runtime.failures import failure_of
from worker.runtime.messages import Checkpointed, Measured
from worker.runtime.model_cache import Models
from worker.runtime.run_step import run_step
from worker.runtime.step_context import StepContext
from worker.steps import STEPS

TENANT = "local"


class InlineWorker:
    """Claims a shard, does it, commits it. `die_after`: steps whose first attempt is lost before its commit.
    `before`: called with each claimed shard before it is done. `stop_at`: step and progress at which a first attempt is
    stopped."""

    def __init__(
        self,
        db: Database,
        objects: ObjectStore,
        die_after: set[str] | None = None,
        before: Callable[[Claim], None] = lambda _taken: None,
    ) -> None:
        self.db, self.objects = db, objects
        self.models = Models(db.settings)
        self.die_after = die_after or set()
        self.before = before
        self.stop_at: tuple[str, int] | None = None
        self.stopping = False

    def run(self) -> None:
        while (taken := claim(self.db, "inline")) is not None:
            self.before(taken)
            with tempfile.TemporaryDirectory() as folder:
                self._do(taken, Path(folder))

    def _do(self, taken: Claim, folder: Path) -> None:
        self.stopping = False
        try:
            result = run_step(STEPS, self.context(taken, folder))
        except Exception as error:
            fail(self.db, taken, failure_of(error))
            return
        if taken.step in self.die_after and taken.attempt == 1:
            self.die_after.discard(taken.step)
            fail(self.db, taken, failure_of(RuntimeError("died before the commit")))
            return
        for key in commit(self.db, taken, result).unused:
            self.objects.delete(key)

    def context(self, taken: Claim, folder: Path) -> StepContext:
        def announce(message: Checkpointed | Measured) -> None:
            if isinstance(message, Measured):
                log_figures(self.db, taken, message.figures)
                return
            unused = save_checkpoint(self.db, taken, message.file)
            if unused is not None:
                self.objects.delete(unused)

        def progress(done: int, _total: int) -> None:
            self.stopping = self.stop_at == (taken.step, done) and taken.attempt == 1

        return StepContext(
            claim=taken,
            db=self.db,
            objects=self.objects,
            settings=self.db.settings,
            models=self.models,
            folder=folder,
            progress=progress,
            should_stop=lambda: self.stopping,
            announce=announce,
        )


def upload(db: Database, objects: ObjectStore, archive: Path) -> str:
    """The archive as a complete upload; its id."""
    content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    made = create_upload(db, tenant=TENANT, filename=archive.name, size=len(content), sha256=digest).upload
    writer = start_upload(db, objects, made.id, tenant=TENANT)
    writer.write(content)
    complete_upload(db, made.id, writer.finish(), tenant=TENANT)
    return made.id


def generate(db: Database, labels: str, **spec: Any) -> Job:
    """A small `generate` job with the tiny generator, which redraws its labels poorly in so few steps."""
    small = {"seed": 7, "count": 20, "inversion": {"steps": 8}, "labeler": {"members": 2}, "force": True}
    return submit_request(db, GenerateSpec(labels=labels, generator="tiny", **{**small, **spec}), tenant=TENANT).job


def view(db: Database, job: Job) -> Job:
    """The job as it is now."""
    return job_view(db, job.id, tenant=TENANT)


def content(db: Database, objects: ObjectStore, resource: str, name: str) -> bytes:
    """A file of a resource."""
    return b"".join(objects.read(get_file(db, resource, name, tenant=TENANT).key))


def shard_digests(db: Database, job: Job) -> list[tuple[str, str]]:
    """Name and SHA-256 of each shard of the job's dataset."""
    dataset = view(db, job).result.dataset
    return [(file.name, file.sha256) for file in list_files(db, dataset, tenant=TENANT, prefix="shards/")]


class Service:
    """A database and objects of its own with the tiny generator."""

    def __init__(self, home: Path, material: Path, **worker: Any) -> None:
        pace = {"shard_images": 8, "batch": 4, "backoff_seconds": 0.0, "device": "cpu", "threads": 1}
        self.settings = Settings(
            home=home, generators_folder=str(material / "generators"), worker=WorkerSettings(**{**pace, **worker})
        )
        self.db: Database = open_database(self.settings)
        self.objects: ObjectStore = open_objects(self.settings)
        self.labels = upload(self.db, self.objects, material / "labels.zip")

    def work(self, **arguments: Any) -> None:
        InlineWorker(self.db, self.objects, **arguments).run()
