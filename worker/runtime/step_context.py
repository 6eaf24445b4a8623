"""Surroundings of a step: its request, store, models and callbacks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import structlog
from pydantic import ValidationError

from core.errors import ResumeError
from core.run import Run
from store.crash import crash_point
from store.database.database import Database
from store.errors import DamagedObject, NotFound
from store.job_kinds import parse_request
from store.jobs.chains import NextItem
from store.jobs.claims import CHECKPOINT, Claim
from store.jobs.commits import StepResult
from store.jobs.job_result import JobResult
from store.objects import ObjectStore, ObjectWriter, verified
from store.requests.base import JobSpec, Spec
from store.resources.files import File, get_file, list_files
from store.settings import Settings
from store.sweep import work_prefix
from worker.runtime.attempt_metrics import plottable
from worker.runtime.messages import Checkpointed, Measured
from worker.runtime.model_cache import Models

log = structlog.get_logger()
Done = TypeVar("Done")
Made = TypeVar("Made", bound=JobResult)
Asked = TypeVar("Asked", bound=Spec)

#: Seconds between two points of a curve in the job's log: a day of training leaves no more lines than people read.
_LOG_SECONDS = 10.0


@dataclass
class StepContext:
    """One shard's surroundings. `folder` is an empty temporary folder, gone when the shard ends.

    `progress(done, total)` and `should_stop()` are the callbacks that the library takes.
    """

    claim: Claim
    db: Database
    objects: ObjectStore
    settings: Settings
    models: Models
    folder: Path
    progress: Callable[[int, int], None]
    should_stop: Callable[[], bool]
    announce: Callable[[Checkpointed | Measured], None]
    _request: JobSpec | None = field(default=None, init=False)
    _began: float = field(default_factory=time.monotonic, init=False)
    _written: int = field(default=0, init=False)
    _logged_at: float = field(default=float("-inf"), init=False)

    @property
    def tenant(self) -> str:
        """Whose job it is."""
        return self.claim.tenant

    def run(self, device: str, kept: bytes | None = None, *, seed: int = 0, checkpoint_every: int | None = None) -> Run:
        """Return the surroundings of a long call of the library. kept: state of an earlier attempt to continue from."""
        return Run(
            device=device,
            seed=seed,
            progress=self.progress,
            should_stop=self.should_stop,
            checkpoint=self.save_checkpoint,
            checkpoint_every=checkpoint_every,
            resume_from=kept,
            log=self.log,
            folder=self.folder,
            memory_bytes=self.settings.worker.features_mib << 20,
        )

    @overload
    def request(self) -> JobSpec: ...

    @overload
    def request(self, model: type[Asked]) -> Asked: ...

    def request(self, model: type[Any] = JobSpec) -> Any:
        """Return the job's request as the model of its kind, parsed once. model: the class that the step works with;
        raises TypeError for the request of a kind that is none.
        """
        if self._request is None:
            self._request = parse_request(self.claim.kind, self.claim.spec)
        if not isinstance(self._request, model):
            raise TypeError(f"{self.claim.step} expected a {model.__name__}, found a {type(self._request).__name__}")
        return self._request

    def result(self, model: type[Made]) -> Made:
        """Return what earlier steps of the job have made. model: its required ids are those that this step needs;
        raises LookupError where no earlier step stored one.
        """
        try:
            return model.of(self.claim.result.to_json())
        except ValidationError as error:
            missing = ", ".join(str(one["loc"][0]) for one in error.errors())
            raise LookupError(f"{self.claim.job_id} has no {missing}, which {self.claim.step} needs") from None

    def put(
        self,
        resource_id: str,
        name: str,
        data: bytes | BinaryIO | Path | Iterable[bytes],
        media_type: str,
        *,
        items: int | None = None,
    ) -> File:
        """Store an object under a key of this attempt's own, to be tied to `resource_id` when the result commits."""
        key = self._key(name)
        if isinstance(data, Path):
            with data.open("rb") as file:
                stored = self.objects.put(key, file)
        else:
            stored = self.objects.put(key, data)
        crash_point("child.after_put")
        return File(resource_id, name, key, stored.bytes, stored.sha256, media_type, items)

    def start(self, name: str) -> ObjectWriter:
        """`put` piece by piece: a writer under a key of this attempt's own, to be finished or aborted."""
        return self.objects.start(self._key(name))

    def _key(self, name: str) -> str:
        self._written += 1
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("-._")
        return f"{work_prefix(self.claim.shard_id, self.claim.attempt)}{self._written:06d}-{safe}"

    def save_checkpoint(self, content: bytes) -> None:
        """Keep what the next attempt may continue from; it replaces what was kept before."""
        self.announce(Checkpointed(self.put(self.claim.shard_id, CHECKPOINT, content, "application/octet-stream")))

    def time_is_up(self) -> bool:
        """Return whether an item of a chain has taken as long as a shard should, so that other jobs are served."""
        return time.monotonic() - self._began >= self.settings.worker.shard_seconds

    def continue_later(self, state: bytes | Path, *, done: int, left: int = 0) -> StepResult:
        """Return the result of an item of a chain that is not the last. state: what the next item continues from, found
        there by `resume`. done, left: what this item did and what is still to be done, in the step's unit (`left` 0:
        not known).
        """
        file = self.put(self.claim.shard_id, CHECKPOINT, state, "application/octet-stream")
        return StepResult(next_item=NextItem(done, left, file))

    def log(self, figures: Mapping[str, float]) -> None:
        """A point of a curve into the job's log; those that follow too soon are left to the step's report."""
        now = time.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            self.announce(Measured(plottable(figures)))

    def load_checkpoint(self) -> bytes | None:
        """Return what an earlier attempt of this shard kept last, or None where there is nothing or it is damaged."""
        try:
            return self.read(get_file(self.db, self.claim.shard_id, CHECKPOINT, tenant=self.tenant))
        except NotFound:
            return None
        except DamagedObject as error:
            log.warning("checkpoint.damaged", shard=self.claim.shard_id, why=error.detail)
            return None

    def resume(self, work: Callable[[bytes | None], Done]) -> Done:
        """`work` from what an earlier attempt kept; from nothing where none did, or where another release kept what
        this one cannot read.
        """
        kept = self.load_checkpoint()
        if kept is not None:
            try:
                return work(kept)
            except ResumeError as error:
                log.warning("checkpoint.unusable", shard=self.claim.shard_id, why=str(error))
        return work(None)

    def read(self, file: File) -> bytes:
        """A stored file in memory, verified. Raises DamagedObject."""
        return verified.read(self.objects, file)

    def open(self, file: File) -> AbstractContextManager[BinaryIO]:
        """A verified copy of a stored file, open for reading; gone when the context ends. Raises DamagedObject."""
        return verified.opened(self.objects, file, self.folder)

    def append(self, file: File, target: BinaryIO) -> None:
        """Append a stored file, verified, to an open one. Raises DamagedObject."""
        verified.copy(self.objects, file, target)

    def fetch(self, resource_id: str, name: str, into: Path | None = None) -> Path:
        """A file of a resource, copied into a temporary file and verified. Raises NotFound, DamagedObject."""
        target = (into or self.folder) / name.replace("/", "-")
        self._fetch(self._file(resource_id, name), target)
        return target

    def fetch_all(self, resource_id: str, into: Path) -> list[File]:
        """Every file of a resource, verified, laid out under `into` by name. Raises DamagedObject."""
        found = list_files(self.db, resource_id, tenant=self.tenant)
        if not found:
            raise files_gone(resource_id)
        for file in found:
            target = into / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(file, target)
        return found

    def _file(self, resource_id: str, name: str) -> File:
        try:
            return get_file(self.db, resource_id, name, tenant=self.tenant)
        except NotFound:
            if list_files(self.db, resource_id, tenant=self.tenant):
                raise
            raise files_gone(resource_id) from None

    def _fetch(self, file: File, target: Path) -> None:
        with target.open("wb") as out:
            self.append(file, out)


def files_gone(resource_id: str) -> DamagedObject:
    """The error for a resource without files: they were removed, since one was damaged, and are to be made again."""
    detail = f"the files of {resource_id} are gone"
    return DamagedObject(detail, resource_id=resource_id, name="", lost=True)
