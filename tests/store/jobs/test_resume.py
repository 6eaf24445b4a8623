"""A failed job goes on where it stopped; the last step may ask for more; time ends a job."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import select, update

from store.database.clock import database_now
from store.database.database import Database
from store.errors import Gone, IllegalTransition, NotFound, NotResumable
from store.jobs.cancel import cancel_job
from store.jobs.claims import claim, heartbeat
from store.jobs.commits import Failure, StepResult, commit, fail
from store.jobs.events import events
from store.jobs.reaper import expire_jobs
from store.jobs.resume import resume_job
from store.jobs.states import TABLES, check_transition
from store.jobs.transitions import move_held_shard
from store.jobs.views import Job
from store.tables import jobs, outbox, shards
from tests.store.jobkit import TENANT, claimed, count_shards, do, drain, expire, fan_out, plans, submit, view

FATAL = Failure("out_of_memory", "tail", permanent=True, retryable=True)


def _failed_half_way(db: Database) -> Job:
    job = submit(db, total=15)
    fan_out(db, 3)
    do(db, claimed(db))
    fail(db, claimed(db), FATAL)
    assert view(db, job).state == "failed"
    return job


def test_a_failed_job_is_resumed_and_keeps_what_is_committed(db: Database) -> None:
    job = _failed_half_way(db)
    with db.write() as connection:
        connection.execute(outbox.delete())
    resumed = resume_job(db, job.id, tenant=TENANT)
    assert (resumed.state, resumed.error, resumed.finished_at) == ("queued", None, None)
    assert [step.state for step in resumed.steps] == ["succeeded", "pending", "pending"]
    with db.read() as connection:
        assert len(connection.execute(select(outbox.c.id)).all()) == 2, "workers are told of the two shards"
    assert drain(db) == 3, "two shards of work and the last step"
    ended = view(db, job)
    assert (ended.state, ended.counts.done) == ("succeeded", 15)
    assert [event.name for event in events(db, job.id, tenant=TENANT)].count("job.resumed") == 1


def test_a_resumed_shard_has_all_its_attempts_again(db: Database) -> None:
    job = _failed_half_way(db)
    resume_job(db, job.id, tenant=TENANT)
    for _ in range(2):
        fail(db, claimed(db), Failure("crash", "tail"))
    assert view(db, job).state == "running"


def test_a_shard_that_still_ran_when_its_job_failed_counts_after_resuming(db: Database) -> None:
    job = submit(db, total=10)
    fan_out(db, 2)
    slow, quick = claimed(db, "slow"), claimed(db, "quick")
    fail(db, quick, FATAL)
    resume_job(db, job.id, tenant=TENANT)
    assert heartbeat(db, slow) == "keep"
    assert do(db, slow).done
    drain(db)
    assert view(db, job).state == "succeeded"


@pytest.mark.parametrize("state", ["succeeded", "canceled"])
def test_what_ended_otherwise_cannot_be_resumed(db: Database, state: str) -> None:
    job = submit(db)
    if state == "canceled":
        cancel_job(db, job.id, tenant=TENANT)
    drain(db)
    with pytest.raises(NotResumable, match=f"{job.id} is {state}, and only a failed job can be resumed"):
        resume_job(db, job.id, tenant=TENANT)
    assert view(db, job).state == state


def test_a_job_that_is_being_canceled_cannot_be_resumed(db: Database) -> None:
    job = submit(db)
    claimed(db)
    cancel_job(db, job.id, tenant=TENANT)
    with pytest.raises(NotResumable, match="being canceled"):
        resume_job(db, job.id, tenant=TENANT)
    assert view(db, job).state == "canceling"


def test_a_failure_that_another_try_cannot_change_is_not_resumed(db: Database) -> None:
    job = submit(db)
    fail(db, claimed(db), Failure("bad_label_set", "masks: show one class", permanent=True, retryable=False))
    with pytest.raises(NotResumable, match=r"bad_label_set.*masks: show one class"):
        resume_job(db, job.id, tenant=TENANT)
    assert view(db, job).state == "failed"


def test_resuming_what_runs_changes_nothing_and_strangers_see_nothing(db: Database) -> None:
    job = submit(db)
    taken = claimed(db)
    assert resume_job(db, job.id, tenant=TENANT).state == "running"
    assert heartbeat(db, taken) == "keep"
    with pytest.raises(NotFound):
        resume_job(db, job.id, tenant="another")


def test_the_last_step_may_ask_for_more(db: Database) -> None:
    job = submit(db, total=5)
    fan_out(db, 1)
    do(db, claimed(db))
    asking = claimed(db)
    assert commit(db, asking, StepResult(top_up=plans(2))).done
    again = view(db, job)
    assert again.state == "running"
    assert [step.state for step in again.steps] == ["succeeded", "running", "pending"]
    assert again.counts.total == 15
    more = [claimed(db), claimed(db)]
    assert [taken.position for taken in more] == [1, 2]
    assert claim(db, "early") is None, "the last step waits for what it asked for"
    for taken in more:
        do(db, taken)
    last = claimed(db)
    assert (last.step, last.position) == ("finish", 1)
    do(db, last)
    assert view(db, job).state == "succeeded"


def test_a_shard_may_find_that_there_is_more_to_do(db: Database) -> None:
    job = submit(db, total=20)
    fan_out(db, 1)
    assert commit(db, claimed(db), StepResult(further=plans(3))).done
    assert view(db, job).counts.total == 20
    assert count_shards(db, job.id, "pending") == 3
    drain(db)
    assert view(db, job).counts.done == 20


def test_higher_priorities_come_first_within_a_tenant(db: Database) -> None:
    low, high = submit(db), submit(db, priority=5)
    assert view(db, high).queue_position == 1
    assert view(db, low).queue_position == 2
    assert claimed(db).job_id == high.id


def test_a_priority_does_not_push_other_tenants_back(db: Database) -> None:
    submit(db, tenant="loud", priority=100)
    submit(db, tenant="loud", priority=100)
    submit(db, tenant="quiet")
    assert {claimed(db).tenant, claimed(db).tenant} == {"loud", "quiet"}


def test_a_worker_takes_only_what_its_queues_hold(db: Database) -> None:
    submit(db)
    assert claim(db, "sampler", ("sample",)) is None
    planning = claim(db, "trainer", ("train", "cpu"))
    assert planning is not None
    do(db, planning)
    assert claim(db, "trainer", ("train", "cpu")) is None
    sampling = claim(db, "sampler", ("sample",))
    assert sampling is not None
    assert sampling.step == "work"


def test_a_job_whose_time_is_over_ends_as_expired(db: Database) -> None:
    job, other = submit(db), submit(db)
    taken = claimed(db)
    with db.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(expires_at=database_now() - 1))
    assert expire_jobs(db) == 1
    assert expire_jobs(db) == 0
    assert view(db, job).state == "expired"
    assert heartbeat(db, taken) == "stop"
    assert not do(db, taken).done
    with pytest.raises(NotResumable):
        resume_job(db, job.id, tenant=TENANT)
    drain(db)
    assert view(db, other).state == "succeeded"


def test_a_failed_job_whose_data_has_expired_is_not_resumed(db: Database) -> None:
    job = _failed_half_way(db)
    with db.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(expires_at=database_now() - 1))
    with pytest.raises(Gone):
        resume_job(db, job.id, tenant=TENANT)


@pytest.mark.parametrize("what", ["job", "step", "shard"])
def test_every_change_that_is_not_in_the_table_is_refused(what: str) -> None:
    table = TABLES[what]
    for before, after in itertools.product(table, table):
        if after in table[before]:
            check_transition(what, before, after)
        else:
            with pytest.raises(IllegalTransition):
                check_transition(what, before, after)


def test_the_tables_drawn_in_the_docstring_are_the_tables() -> None:
    from store.jobs import states

    assert states.__doc__ is not None
    for name, table in TABLES.items():
        drawn = states.__doc__.split(f"{name.capitalize()}::")[1].split("\n\n")[1].splitlines()
        columns = {word: drawn[0].index(f" {word}") + 1 for word in drawn[0].split()[3:]}
        marks = {line.split()[0]: line for line in drawn[1:] if " x" in line}
        for before, after in itertools.product(table, columns):
            start = columns[after]
            marked = "x" in marks.get(before, "")[start : start + len(after)]
            assert marked == (after in table[before]), (name, before, after)


def test_a_shard_that_is_over_is_not_moved(db: Database) -> None:
    job = submit(db)
    taken = claimed(db)
    do(db, taken)
    with db.write() as connection:
        row = connection.execute(select(shards).where(shards.c.id == taken.shard_id)).one()
        with pytest.raises(IllegalTransition):
            move_held_shard(connection, row, "running")
    assert view(db, job).state == "running"
    expire(db, claimed(db))


@pytest.mark.parametrize("field", ["labels", "source", "generator"])
def test_a_job_whose_upload_or_generator_was_deleted_cannot_be_resumed(db: Database, field: str) -> None:
    job = _failed_half_way(db)
    name = "tiny" if field == "generator" else "upl_1"
    with db.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(spec={field: name}))
    with pytest.raises(Gone, match=f"something that it needs was deleted: no (upload|generator) '{name}'"):
        resume_job(db, job.id, tenant=TENANT)
    assert view(db, job).state == "failed"


def test_a_job_with_a_label_set_is_resumed_without_its_upload(db: Database) -> None:
    job = _failed_half_way(db)
    with db.write() as connection:
        values = {"spec": {"labels": "upl_1"}, "result": {"label_set": "ls_1"}}
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(**values))
    assert resume_job(db, job.id, tenant=TENANT).state == "queued"
