"""Long steps as chains of short items: other jobs are served in between, and no item's work is lost."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from store.database.database import Database
from store.jobs.cancel import cancel_job
from store.jobs.chains import NextItem
from store.jobs.claims import CHECKPOINT, Claim, claim, save_checkpoint
from store.jobs.commits import Failure, StepResult, commit, fail
from store.jobs.kinds import JobKind, StepPlan
from store.jobs.resume import resume_job
from store.jobs.submit import submit_job
from store.jobs.views import Job
from store.resources.files import File, get_file, list_files
from store.tables import files, jobs, shards
from tests.store.jobkit import TENANT, claimed, do, expire, submit, view

KIND: JobKind[Any] = JobKind("long", (StepPlan("train", "train"), StepPlan("finish", "cpu")))


def start_long(db: Database, **asked: Any) -> Job:
    return submit_job(db, KIND, tenant=TENANT, spec={}, **asked).job


def state_of(taken: Claim) -> File:
    key = f"work/{taken.shard_id}/{taken.attempt}/1-state"
    return File(taken.shard_id, CHECKPOINT, key, 1, "0" * 64, "application/octet-stream")


def go_on(db: Database, taken: Claim, left: int) -> File:
    """Commit an item that did 100 units; the state that it hands over."""
    state = state_of(taken)
    assert commit(db, taken, StepResult(next_item=NextItem(100, left, state)), total=1).done
    return state


def keys_of(db: Database, shard_id: str) -> list[str]:
    return [file.key for file in list_files(db, shard_id, tenant=TENANT)]


def test_other_jobs_are_served_between_two_items_of_a_chain(db: Database) -> None:
    long, short = start_long(db), submit(db)
    first = claimed(db)
    assert (first.job_id, first.position) == (long.id, 0), "the older job begins"
    go_on(db, first, left=200)
    served = []
    while (taken := claimed(db)).job_id == short.id:
        served.append(taken.step)
        do(db, taken)
    assert served == ["plan", "work", "work", "finish"], "the newer job is done first"
    assert (taken.job_id, taken.step, taken.position) == (long.id, "train", 1)


def test_job_of_lowest_priority_is_served_before_the_next_item_of_a_chain_of_highest(db: Database) -> None:
    long, low = start_long(db, priority=100), submit(db, priority=-100)
    go_on(db, claimed(db), left=100)
    assert claimed(db).job_id == low.id
    assert claimed(db).job_id == long.id


def test_priority_decides_among_chains(db: Database) -> None:
    start_long(db, priority=1)
    go_on(db, claimed(db), left=100)
    high = start_long(db, priority=2)
    go_on(db, claimed(db), left=100)
    assert claimed(db).job_id == high.id


def test_step_after_a_chain_has_the_priority_of_the_request(db: Database) -> None:
    long = start_long(db, priority=7)
    go_on(db, claimed(db), left=100)
    with db.read() as connection:
        assert connection.execute(select(jobs.c.priority)).scalar_one() < -100
    assert commit(db, claimed(db), StepResult(), total=100).done
    with db.read() as connection:
        assert connection.execute(select(jobs.c.priority)).scalar_one() == 7
    assert claimed(db).step == "finish"
    assert view(db, long).steps[0].state == "succeeded"


def test_item_continues_from_the_state_of_the_item_before(db: Database) -> None:
    start_long(db)
    first = claimed(db)
    older = File(first.shard_id, CHECKPOINT, "work/older", 1, "0" * 64, "application/octet-stream")
    assert save_checkpoint(db, first, older) is None
    state = state_of(first)
    outcome = commit(db, first, StepResult(next_item=NextItem(100, 100, state)))
    assert outcome.done
    assert outcome.unused == (older.key,)
    second = claimed(db)
    assert get_file(db, second.shard_id, CHECKPOINT, tenant=TENANT).key == state.key
    assert keys_of(db, first.shard_id) == []
    assert commit(db, second, StepResult()).unused == (state.key,), "a chain that has ended needs no state"


def test_progress_of_a_chain_counts_all_items(db: Database) -> None:
    long = start_long(db)
    go_on(db, claimed(db), left=200)
    step = view(db, long).steps[0]
    assert (step.state, step.done, step.total) == ("running", 100, 300)
    go_on(db, claimed(db), left=100)
    assert commit(db, claimed(db), StepResult(), total=100).done
    step = view(db, long).steps[0]
    assert (step.state, step.done, step.total) == ("succeeded", 300, 300)


def test_item_whose_worker_died_is_repeated_from_the_state_and_plans_the_next_one_once(db: Database) -> None:
    long = start_long(db)
    state = go_on(db, claimed(db, "one"), left=100)
    lost = claimed(db, "one")
    expire(db, lost)
    assert fail(db, lost, Failure("worker_lost", "died", retryable=True))
    with db.write() as connection:
        connection.execute(shards.update().values(not_before=0.0))
    again = claimed(db, "two")
    assert (again.shard_id, again.attempt) == (lost.shard_id, 2)
    assert get_file(db, again.shard_id, CHECKPOINT, tenant=TENANT).key == state.key
    late = commit(db, lost, StepResult(next_item=NextItem(1, 0, state_of(lost))))
    assert (late.done, late.unused) == (False, (state_of(lost).key,)), "a late attempt leaves no object behind"
    go_on(db, again, left=0)
    third = claimed(db)
    assert third.position == 2
    assert claim(db, "other") is None
    assert view(db, long).state == "running"


def test_failed_chain_is_resumed_from_its_last_item(db: Database) -> None:
    long = start_long(db)
    state = go_on(db, claimed(db), left=100)
    for _ in range(db.settings.worker.max_attempts):
        with db.write() as connection:
            connection.execute(shards.update().values(not_before=0.0))
        assert fail(db, claimed(db), Failure("worker_crashed", "out of memory", retryable=True))
    assert view(db, long).state == "failed"
    resume_job(db, long.id, tenant=TENANT)
    again = claimed(db)
    assert again.position == 1
    assert keys_of(db, again.shard_id) == [state.key]


def test_canceled_chain_keeps_no_state(db: Database) -> None:
    long = start_long(db)
    go_on(db, claimed(db), left=100)
    cancel_job(db, long.id, tenant=TENANT)
    assert view(db, long).state == "canceled"
    with db.read() as connection:
        assert connection.execute(select(files.c.key)).all() == []
