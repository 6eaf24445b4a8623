"""A job that may be partial ends without the images that cannot be made; any other fails, and so does one with none."""

from __future__ import annotations

import pytest

from store.database.database import Database
from store.jobs.commits import Failure, StepResult, commit, fail
from store.jobs.shards import ShardPlan
from tests.store.jobkit import claimed, do, fan_out, submit, view

FATAL = Failure("broken", "cannot be done", permanent=True)


def test_a_job_ends_without_what_cannot_be_made_when_asked_to(db: Database) -> None:
    job = submit(db, total=15, allow_partial=True)
    fan_out(db, 3)
    fail(db, claimed(db), FATAL)
    do(db, claimed(db))
    do(db, claimed(db))
    commit(db, claimed(db), StepResult(rejected=2))
    ended = view(db, job)
    assert ended.state == "succeeded"
    assert (ended.counts.total, ended.counts.done, ended.counts.rejected, ended.counts.failed) == (15, 8, 2, 5)


def test_the_last_shard_may_be_the_one_that_cannot_be_made(db: Database) -> None:
    job = submit(db, total=10, allow_partial=True)
    fan_out(db, 2)
    do(db, claimed(db))
    fail(db, claimed(db), FATAL)
    assert claimed(db).step == "finish"
    assert view(db, job).state == "finalizing"


@pytest.mark.parametrize("allow_partial", [True, False])
def test_nothing_at_all_is_a_failure(db: Database, allow_partial: bool) -> None:
    job = submit(db, total=10, allow_partial=allow_partial)
    fan_out(db, 2)
    fail(db, claimed(db), FATAL)
    assert view(db, job).state == ("running" if allow_partial else "failed")
    if allow_partial:
        fail(db, claimed(db), FATAL)
    assert view(db, job).state == "failed"


def test_other_steps_are_never_done_without(db: Database) -> None:
    job = submit(db, total=10, allow_partial=True)
    fail(db, claimed(db), FATAL)
    assert view(db, job).state == "failed"


def test_a_shard_that_plans_the_others_is_not_done_without(db: Database) -> None:
    job = submit(db, total=10, allow_partial=True)
    plans = (ShardPlan({"start": 0, "stop": 5, "until": 10}, 5), ShardPlan({"start": 10, "stop": 15}, 5))
    commit(db, claimed(db), StepResult(fan_out=plans))
    fail(db, claimed(db), FATAL)
    assert view(db, job).state == "failed"
