"""Definition of a job kind: its request, its steps and the hooks that its module in `store.job_kinds` fills in.

The machinery of jobs (`store.jobs`) works with these definitions alone; `store.job_kinds.KINDS` lists the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args

from sqlalchemy import Connection

from store.database.database import Database
from store.errors import NotFound, Problem
from store.jobs.job_result import JobResult
from store.jobs.shards import ShardPlan
from store.requests.base import JobSpec
from store.resources.generators import Generator, find_generator
from store.settings import WorkerSettings

#: `sample`: many short shards on an accelerator. `train`: one long shard on an accelerator. `cpu`: steps that need no
#: accelerator, so that packing a finished dataset does not wait for the sampling of another.
Queue = Literal["sample", "train", "cpu"]
QUEUES: tuple[Queue, ...] = get_args(Queue)

R = TypeVar("R", bound=JobSpec)


@dataclass(frozen=True, slots=True)
class TypicalSize:
    """Numbers that a typical time depends on. `images`: labelled images, None while unknown. `total`: images drawn."""

    images: int | None
    total: int


#: `(stored request, size)` → seconds, None where nothing typical is known.
TypicalTime = Callable[[Mapping[str, Any], TypicalSize], float | None]


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step. Its shards are made when the step before it is done.

    title: display name, in the words of a person who waits for it.
    fan_out: the step has as many shards as `plan` makes, or without `plan` as the result of the step before asks for;
        other steps have one.
    plan: makes the shards of a step that fans out, from the request and the settings of the worker.
    counts_images: the progress of its shards is the job's count of images.
    makes: key of the job's result under which the step stores what it makes, for steps that can make it again.
    typical: seconds that the step takes on two processor cores, used until a job has measured it.
    """

    name: str
    queue: Queue
    title: str = ""
    fan_out: bool = False
    plan: Callable[[Any, WorkerSettings], tuple[ShardPlan, ...]] | None = None
    counts_images: bool = False
    makes: str = ""
    typical: TypicalTime | None = None


@dataclass(frozen=True, slots=True)
class Submitting:
    """Surroundings of the hooks that look at a request: the transaction that would add the job, and its tenant.

    generators: those that were looked up, by the name in the request, so that several checks ask once.
    """

    connection: Connection
    db: Database
    tenant: str
    generators: dict[str, Generator | None] = field(default_factory=dict)

    def generator(self, name: str) -> Generator | None:
        """Return a generator by name or id, or None where the tenant has none."""
        if name not in self.generators:
            try:
                self.generators[name] = find_generator(self.connection, name, tenant=self.tenant)
            except NotFound:
                self.generators[name] = None
        return self.generators[name]


@dataclass(frozen=True, slots=True)
class Makes:
    """Result of a job for its caller: the key of its id in the job's result, and its collection under `/v1/`."""

    key: str
    collection: str


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """Expected size of a dataset: images delivered, images drawn for them, and bytes (rough)."""

    count: int
    candidates: int
    bytes: int


def _no_problems(_where: Submitting, _request: Any) -> list[Problem]:
    return []


def _no_equal_job(_where: Submitting, _request: Any) -> str | None:
    return None


def _no_images(_where: Submitting, _request: Any) -> int:
    return 0


def _no_result(_request: Any, _job_id: str) -> JobResult:
    return JobResult()


def _nothing_to_prepare(_where: Submitting, _request: Any, _job_id: str, _result: JobResult) -> None:
    return None


@dataclass(frozen=True, slots=True)
class JobKind(Generic[R]):
    """A kind of job: what a caller may ask for, and how the service does it.

    steps: in order; the last one ends the job.
    request: model of the request body; its `kind` is `name`.
    makes: result of the job for its caller; None where the job makes no resource.
    refusal: detail of the error for a request with problems.
    check: return every problem of a request, or raise another StoreError.
    equal: return the id of a job whose result the request would repeat, or None.
    images: return how many images the job draws or reads, 0 where it counts none.
    result: return the first entries of the job's result; called with the id of the new job.
    prepare: add rows that belong to the job, after the job itself.
    size: return the expected size of the dataset; None for kinds that make none. Raises NotFound.
    """

    name: str
    steps: tuple[StepPlan, ...]
    request: type[R] = JobSpec  # type: ignore[assignment]
    makes: Makes | None = None
    refusal: str = "the job cannot be started like this"
    check: Callable[[Submitting, R], list[Problem]] = _no_problems
    equal: Callable[[Submitting, R], str | None] = _no_equal_job
    images: Callable[[Submitting, R], int] = _no_images
    result: Callable[[R, str], JobResult] = _no_result
    prepare: Callable[[Submitting, R, str, JobResult], None] = _nothing_to_prepare
    size: Callable[[Submitting, R], SizeEstimate] | None = None
