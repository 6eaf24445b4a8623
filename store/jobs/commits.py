"""Ends of an attempt: its result is committed once, or its failure counted. Both fenced, both in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, update

from contracts.text import printable
from store.database.clock import database_now
from store.database.database import Database
from store.errors import Problem
from store.jobs.chains import NextItem, is_continued, lower_priority, restore_priority
from store.jobs.claims import Claim, drop, held, mine
from store.jobs.endings import fail_job
from store.jobs.events import NewEvent, record
from store.jobs.job_result import JobResult
from store.jobs.partial import UNDONE_OF_PARTIAL, can_do_without, may_lack
from store.jobs.remaking import Damaged, remake
from store.jobs.shards import ShardPlan, add_shards
from store.jobs.states import CLAIMABLE_JOB_STATES
from store.jobs.transitions import end_job, lock_job, move_held_shard, move_job, move_steps
from store.resources.artifacts import NewMade, add_made
from store.resources.dataset_reports import DatasetReport
from store.resources.datasets import finish_dataset, mark_damaged
from store.resources.files import File, add_files, has_files, remove_files
from store.resources.generators import NewGenerator, PreparedGenerator, add_generator, prepare_generator
from store.resources.image_sets import NewImageSet, add_image_set
from store.tables import files as files_table
from store.tables import jobs, shards, steps

#: Seconds before a further attempt at most, however many there were.
_LONGEST_PAUSE = 300.0
#: States of shards that keep their step from being done; named, so that an index finds them.
_UNDONE = ("pending", "running", "poisoned", "canceled")


@dataclass(frozen=True, slots=True)
class StepResult:
    """Result of an attempt. Everything here becomes visible together, or not at all.

    `value`: kept with the shard, for later steps. `files`: objects already stored. `made`: label sets and the like.
    `job_result`: ids added to the job's result. `fan_out`: shards of the next step, when that one fans out. `further`:
    more shards of this step. `next_item`: this shard is an item of a chain, which goes on with that one. `top_up`: more
    shards of the step before, after which this step is done once more; the rest of the result then says nothing about
    the job's end. `rejected`: images the filter dropped; `dataset`: facts that finish the job's dataset (both from the
    last step). `generator`, `image_set`: new ones; a generator that the job trains is replaced by a better state of it.
    `prepared`: a generator whose files the result's replace, by name. `events`: lines for the job's log.
    """

    value: dict[str, Any] = field(default_factory=dict)
    files: tuple[File, ...] = ()
    made: tuple[NewMade, ...] = ()
    job_result: JobResult = field(default_factory=JobResult)
    fan_out: tuple[ShardPlan, ...] = ()
    further: tuple[ShardPlan, ...] = ()
    next_item: NextItem | None = None
    top_up: tuple[ShardPlan, ...] = ()
    rejected: int = 0
    dataset: DatasetReport | None = None
    generator: NewGenerator | None = None
    image_set: NewImageSet | None = None
    prepared: PreparedGenerator | None = None
    events: tuple[NewEvent, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all objects that the attempt stored for the result."""
        state = self.next_item.state if self.next_item is not None else None
        return (*(file.key for file in self.files), *((state.key,) if state is not None else ()))


@dataclass(frozen=True, slots=True)
class Committed:
    """`done`: the result stands. `unused`: keys of objects that nothing refers to (any more), to be deleted now."""

    done: bool
    unused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. `permanent`: no attempt can help. `retryable`: the caller may try again later. `damaged`:
    the object that could not be read as it was stored.
    """

    code: str
    detail: str
    permanent: bool = False
    retryable: bool = False
    problems: tuple[Problem, ...] = ()
    damaged: Damaged | None = None

    def __post_init__(self) -> None:
        # The detail may hold what a process wrote before it died, or the text of any exception.
        object.__setattr__(self, "detail", printable(self.detail))


def commit(
    db: Database, claim: Claim, result: StepResult, *, total: int = 0, figures: Mapping[str, float] | None = None
) -> Committed:
    """Commit an attempt's result and start what follows. Not done when the shard is no longer ours or the job was
    canceled. Safe to repeat after a lost answer: the second call finds the first one's result. `total`: what was done,
    in the step's unit (0: what was planned). `figures`: for the job's log.
    """
    with db.write() as connection:
        row = held(connection, mine(claim))
        if row is None:
            return _committed_before(connection, claim, result)
        job = lock_job(connection, claim.job_id)
        if job.state not in CLAIMABLE_JOB_STATES:
            drop(connection, row, job)
            return Committed(False, result.keys)
        if result.next_item is not None:
            total = result.next_item.done
        now = database_now()
        values = {"finished_at": now, "lease_until": None, "result": result.value}
        progress = {"done": total, "total": total} if total else {"done": shards.c.total}
        move_held_shard(connection, row, "succeeded", **values, **progress)
        unused = [*remove_files(connection, claim.shard_id), *_record_made(connection, job, result)]
        for event in result.events:
            record(connection, job.id, event.name, event.level, **event.data)
        about: dict[str, Any] = {"step": claim.step, "position": claim.position, "attempt": claim.attempt}
        if figures:
            about["figures"] = dict(figures)
        record(connection, job.id, "shard.committed", **about)
        return Committed(True, (*unused, *_advance(connection, job, row, result)))


def fail(db: Database, claim: Claim, failure: Failure) -> bool:
    """Count a failed attempt: the shard is tried again after a pause, or poisoned and its job failed. False when the
    shard is no longer ours.
    """
    with db.write() as connection:
        return end_attempt(connection, db, mine(claim), failure)


def end_attempt(connection: Connection, db: Database, which: ColumnElement[bool], failure: Failure) -> bool:
    """`fail` for the running shard that the condition `which` selects, inside the caller's transaction."""
    row = held(connection, and_(which, shards.c.state == "running"))
    if row is None:
        return False
    job = lock_job(connection, row.job_id)
    if job.state not in CLAIMABLE_JOB_STATES:
        drop(connection, row, job)
        return True
    if failure.damaged is not None and remake(connection, db, job, row, failure.damaged):
        return True
    failures = row.failures + 1
    counted = {"failures": failures, "error_code": failure.code, "error_detail": failure.detail, "lease_until": None}
    data = {"step": row.step, "position": row.position, "attempt": row.attempt, "code": failure.code}
    if failure.permanent or failures >= db.settings.worker.max_attempts:
        move_held_shard(connection, row, "poisoned", finished_at=database_now(), **counted)
        if not is_continued(row.input):  # the state of a chain is kept for a resumed job
            remove_files(connection, row.id)
        failure = _with_remedy(connection, failure)
        record(connection, job.id, "shard.poisoned", "error", **data, detail=failure.detail)
        if can_do_without(connection, job, row):
            _advance(connection, job, row, StepResult())
            return True
        fail_job(
            connection,
            job.id,
            step=row.step,
            code=failure.code,
            detail=failure.detail,
            retryable=failure.retryable,
            problems=failure.problems,
        )
    else:
        pause = min(_LONGEST_PAUSE, db.settings.worker.backoff_seconds * 2.0 ** min(failures - 1, 32))
        later = {"owner": None, "not_before": database_now() + pause, "rung_at": None, "done": 0}
        move_held_shard(connection, row, "pending", **later, **counted)
        record(connection, job.id, "shard.failed", "warning", **data, detail=failure.detail, retry_after_seconds=pause)
    return True


def _with_remedy(connection: Connection, failure: Failure) -> Failure:
    """The failure that ends a job, with what its caller can do about a damaged object; a dataset is marked."""
    damaged = failure.damaged
    if damaged is None:
        return failure
    mark_damaged(connection, damaged.resource_id, damaged.name, failure.detail)
    return replace(failure, detail=f"{failure.detail}; {damaged.remedy}") if damaged.remedy else failure


def _committed_before(connection: Connection, claim: Claim, result: StepResult) -> Committed:
    """After an answer that was lost: whether this very attempt stands, and which of its objects are referred to."""
    stands = connection.execute(
        select(
            exists().where(
                shards.c.id == claim.shard_id,
                shards.c.attempt == claim.attempt,
                shards.c.owner == claim.owner,
                shards.c.state == "succeeded",
            )
        )
    ).scalar_one()
    keys = result.keys
    known = set(connection.execute(select(files_table.c.key).where(files_table.c.key.in_(keys))).scalars())
    return Committed(bool(stands), tuple(key for key in keys if key not in known))


def _record_made(connection: Connection, job: Any, result: StepResult) -> list[str]:
    """Add what was made; where another job made the same first, use that one. Keys of objects no longer needed."""
    standing = {new.id: add_made(connection, job.tenant, new, job.spec.get("name")) for new in result.made}
    # Files that were removed since one was damaged are replaced; what refers to the thing goes on to find it.
    bare = {new for new, old in standing.items() if new != old and not has_files(connection, old)}
    result = replace(
        result,
        files=tuple(
            replace(file, resource_id=standing[file.resource_id]) if file.resource_id in bare else file
            for file in result.files
        ),
    )
    replaced: list[str] = []
    if result.generator is not None:
        replaced = add_generator(connection, job.tenant, result.generator)
    if result.image_set is not None:
        add_image_set(connection, job.tenant, result.image_set)
    if result.prepared is not None:
        names = [file.name for file in result.files if file.resource_id == result.prepared.id]
        replaced = prepare_generator(connection, result.prepared, names)
    kept = [file for file in result.files if standing.get(file.resource_id, file.resource_id) == file.resource_id]
    add_files(connection, job.tenant, kept)
    made = JobResult.of(job.result).joined(result.job_result.with_ids(standing))
    if result.dataset is not None:
        made = made.joined(JobResult(quality=result.dataset.quality, warnings=result.dataset.warnings))
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(result=made.to_json()))
    return [*replaced, *(file.key for file in result.files if file not in kept)]


def _advance(connection: Connection, job: Any, shard: Any, result: StepResult) -> Sequence[str]:
    """Add the shards that the result asks for; when the step has no open one left start the next step, or end the job.
    Keys of objects no longer needed.
    """
    name = shard.step
    step = connection.execute(select(steps).where(steps.c.job_id == job.id, steps.c.name == name)).one()
    if result.further:
        _extend(connection, job, step, result.further)
    if result.next_item is not None:
        (added,) = _extend(connection, job, step, (result.next_item.plan(shard.position),))
        result.next_item.hand_over(connection, job.tenant, added)
        lower_priority(connection, job)
    undone = UNDONE_OF_PARTIAL if may_lack(job, step) else _UNDONE
    open_shards = select(exists().where(shards.c.job_id == job.id, shards.c.step == name, shards.c.state.in_(undone)))
    if connection.execute(open_shards).scalar_one():
        return ()
    this = and_(steps.c.job_id == job.id, steps.c.name == name)
    if result.top_up:
        _go_back(connection, job, step, result.top_up)
        return ()
    move_steps(connection, this, "succeeded", finished_at=database_now())
    if is_continued(shard.input):
        restore_priority(connection, job)
    record(connection, job.id, "step.succeeded", step=name)
    following_shards = and_(shards.c.job_id == job.id, shards.c.step_position > step.position)
    waiting = select(exists().where(following_shards, shards.c.state.in_(("pending", "running"))))
    if connection.execute(waiting).scalar_one():
        # This step was done again, and those that waited for it go on.
        return ()
    following = connection.execute(
        select(steps).where(steps.c.job_id == job.id, steps.c.position == step.position + 1)
    ).one_or_none()
    if following is None:
        return _succeed(connection, job, result)
    plans: Sequence[ShardPlan] = result.fan_out if following.fan_out else [ShardPlan()]
    assert plans, "a step that fans out needs shards"
    _extend(connection, job, following, plans)
    return ()


def _extend(connection: Connection, job: Any, step: Any, plans: Sequence[ShardPlan]) -> list[str]:
    """Add shards to a step and return their ids; the job's count of images grows when they exceed what was expected."""
    there = connection.execute(
        select(func.count().label("shards"), func.coalesce(func.sum(shards.c.total), 0).label("images")).where(
            shards.c.job_id == job.id, shards.c.step == step.name
        )
    ).one()
    if step.counts_images:
        images = int(there.images) + sum(plan.total for plan in plans)
        connection.execute(update(jobs).where(jobs.c.id == job.id, jobs.c.total < images).values(total=images))
    return add_shards(
        connection,
        job_id=job.id,
        tenant=job.tenant,
        step=step.name,
        step_position=step.position,
        queue=step.queue,
        plans=plans,
        first=there.shards,
    )


def _go_back(connection: Connection, job: Any, step: Any, plans: Sequence[ShardPlan]) -> None:
    """Back to the step before, for `plans`; this step follows again when they are done."""
    before = connection.execute(
        select(steps).where(steps.c.job_id == job.id, steps.c.position == step.position - 1)
    ).one()
    _extend(connection, job, before, plans)
    both = steps.c.job_id == job.id
    move_steps(connection, and_(both, steps.c.name == step.name), "pending", started_at=None)
    move_steps(connection, and_(both, steps.c.name == before.name), "running", finished_at=None)
    if job.state == "finalizing":
        move_job(connection, job.id, "running")
    record(connection, job.id, "step.topped_up", step=before.name, shards=len(plans))


def _succeed(connection: Connection, job: Any, result: StepResult) -> Sequence[str]:
    end_job(connection, job.id, "succeeded", rejected=result.rejected)
    if result.dataset is not None:
        finish_dataset(connection, job.id, result.dataset)
    record(connection, job.id, "job.succeeded")
    # Work in progress was tied to the job; what is left of it has served.
    return remove_files(connection, job.id)
