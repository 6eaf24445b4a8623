"""Claims: one owner at a time, fenced by the attempt, on both databases."""

from __future__ import annotations

import threading
from collections import Counter

from sqlalchemy import select

from store.database.clock import database_now
from store.database.database import Database
from store.jobs.claims import CHECKPOINT, Claim, claim, give_back, heartbeat, save_checkpoint
from store.jobs.commits import Failure, StepResult, commit, fail
from store.jobs.reaper import reap
from store.resources.files import File, get_file
from store.tables import shards
from tests.store.jobkit import TENANT, claimed, count_shards, do, drain, expire, fan_out, plans, submit, view


def test_sixteen_threads_claim_each_shard_once(db: Database) -> None:
    submit(db)
    fan_out(db, 64)
    got: list[str] = []
    gate = threading.Barrier(16)

    def take(owner: str) -> None:
        gate.wait()
        while (taken := claim(db, owner)) is not None:
            got.append(taken.shard_id)

    threads = [threading.Thread(target=take, args=(f"worker-{index}",)) for index in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 64
    assert max(Counter(got).values()) == 1


def test_only_steps_that_are_known_are_claimed(db: Database) -> None:
    submit(db)
    assert claim(db, "old", known=("work", "finish")) is None
    assert claimed(db).step == "plan"
    assert claim(db, "old", known=()) is None


def _checkpoint(taken: Claim, key: str) -> File:
    return File(taken.shard_id, CHECKPOINT, key, 1, "0" * 64, "application/octet-stream")


def test_a_job_runs_through_its_steps(db: Database) -> None:
    job = submit(db, total=9)
    assert job.state == "queued"
    assert job.queue_position == 1
    fan_out(db, 2)
    running = view(db, job)
    assert running.state == "running"
    assert running.counts.total == 10, "the number of images is known once the work is planned"
    first = claimed(db)
    assert heartbeat(db, first, done=3) == "keep"
    assert view(db, job).counts.done == 3
    do(db, first)
    do(db, claimed(db))
    last = claimed(db)
    assert last.step == "finish"
    assert view(db, job).state == "finalizing"
    assert commit(db, last, StepResult(rejected=1)).done
    ended = view(db, job)
    assert ended.state == "succeeded"
    assert (ended.counts.total, ended.counts.done, ended.counts.rejected, ended.counts.failed) == (10, 9, 1, 0)
    assert [step.state for step in ended.steps] == ["succeeded"] * 3
    assert claim(db, "worker") is None


def test_an_expired_lease_goes_to_another_and_the_zombie_changes_nothing(db: Database) -> None:
    job = submit(db)
    zombie = claimed(db, "zombie")
    assert reap(db) == 0
    expire(db, zombie)
    assert reap(db) == 1
    assert reap(db) == 0
    heir = claimed(db, "heir")
    assert heir.shard_id == zombie.shard_id
    assert heir.attempt == zombie.attempt + 1
    assert heartbeat(db, zombie) == "lost"
    assert save_checkpoint(db, zombie, _checkpoint(zombie, "late")) == "late"
    assert not give_back(db, zombie)
    assert not fail(db, zombie, Failure("x", "y"))
    assert not commit(db, zombie, StepResult(fan_out=plans(7))).done
    assert do(db, heir).done
    assert count_shards(db, job.id, "pending") == 2


def test_the_same_owner_in_a_later_attempt_is_still_fenced(db: Database) -> None:
    submit(db)
    before = claimed(db, "same")
    expire(db, before)
    reap(db)
    claimed(db, "same")
    assert not commit(db, before, StepResult(fan_out=plans(1))).done


def test_many_reapers_requeue_once(db: Database) -> None:
    submit(db)
    expire(db, claimed(db))
    ended: list[int] = []
    gate = threading.Barrier(8)

    def run() -> None:
        gate.wait()
        ended.append(reap(db))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(ended) == 1


def test_a_commit_repeated_after_a_lost_answer_is_one_commit(db: Database) -> None:
    job = submit(db)
    taken = claimed(db)
    assert do(db, taken, shards_of_work=3).done
    assert do(db, taken, shards_of_work=3).done
    assert count_shards(db, job.id, "pending") == 3


def test_giving_back_is_no_failure(db: Database) -> None:
    job = submit(db)
    for _ in range(5):
        assert give_back(db, claimed(db))
    assert drain(db) == 4
    assert view(db, job).state == "succeeded"


def test_a_checkpoint_reaches_the_next_attempt(db: Database) -> None:
    submit(db)
    first = claimed(db)
    assert save_checkpoint(db, first, _checkpoint(first, "work/1")) is None
    assert save_checkpoint(db, first, _checkpoint(first, "work/2")) == "work/1"
    fail(db, first, Failure("crash", "tail"))
    second = claimed(db)
    assert get_file(db, second.shard_id, CHECKPOINT, tenant=TENANT).key == "work/2"
    assert save_checkpoint(db, first, _checkpoint(first, "work/3")) == "work/3", "the zombie's is the one to delete"
    assert do(db, second).unused == ("work/2",)


def test_a_shard_is_poisoned_after_three_attempts_and_fails_its_job(db: Database) -> None:
    job, other = submit(db), submit(db)
    fan_out(db, 2)
    while (taken := claimed(db)).job_id == job.id and view(db, job).state == "running":
        fail(db, taken, Failure("crash", f"tail of attempt {taken.attempt}"))
    ended = view(db, job)
    assert ended.state == "failed"
    assert ended.error is not None
    assert (ended.error.code, ended.error.detail) == ("crash", "tail of attempt 3")
    assert ended.attempts == 3
    assert [step.state for step in ended.steps] == ["succeeded", "failed", "canceled"]
    assert ended.counts.failed == ended.counts.total
    assert count_shards(db, job.id, "pending") == 0
    do(db, taken)
    drain(db)
    assert view(db, other).state == "succeeded", "other jobs go on"


def test_a_permanent_failure_is_not_tried_again(db: Database) -> None:
    job = submit(db)
    fail(db, claimed(db), Failure("bad_label_set", "no masks", permanent=True))
    assert view(db, job).state == "failed"
    assert view(db, job).attempts == 1


def test_a_failed_shard_waits_before_it_is_tried_again(db: Database) -> None:
    submit(db)
    db.settings.worker.backoff_seconds = 3600.0
    taken = claimed(db)
    fail(db, taken, Failure("crash", "tail"))
    assert claim(db, "worker") is None
    with db.read() as connection:
        wait = select(shards.c.not_before - database_now()).where(shards.c.id == taken.shard_id)
        assert 0 < connection.execute(wait).scalar_one() <= 300, "and never for longer than five minutes"


def test_tenants_take_turns(db: Database) -> None:
    submit(db, tenant="many")
    fan_out(db, 8)
    submit(db, tenant="few")
    owners = [claimed(db).tenant for _ in range(3)]
    assert owners == ["many", "few", "many"]
