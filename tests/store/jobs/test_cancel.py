"""Cancelling at every moment ends a job once, and nothing is committed after it."""

from __future__ import annotations

import threading

import pytest

from store.database.database import Database
from store.errors import NotFound
from store.jobs.cancel import cancel_job
from store.jobs.claims import claim, give_back, heartbeat
from store.jobs.commits import Failure, StepResult, commit, fail
from store.jobs.events import events
from store.jobs.reaper import reap
from tests.store.jobkit import TENANT, claimed, do, drain, expire, fan_out, submit, view


def test_a_queued_job_is_canceled_at_once(db: Database) -> None:
    job = submit(db)
    answer = cancel_job(db, job.id, tenant=TENANT)
    assert answer.accepted
    assert answer.job.state == "canceled"
    assert claim(db, "worker") is None
    again = cancel_job(db, job.id, tenant=TENANT)
    assert not again.accepted
    assert again.job.state == "canceled"


def test_a_running_shard_learns_it_at_its_heartbeat(db: Database) -> None:
    job = submit(db)
    fan_out(db, 3)
    taken = claimed(db)
    assert cancel_job(db, job.id, tenant=TENANT).job.state == "canceling"
    assert heartbeat(db, taken) == "stop"
    assert claim(db, "other") is None
    assert give_back(db, taken)
    ended = view(db, job)
    assert ended.state == "canceled"
    assert ended.counts.done + ended.counts.failed == ended.counts.total


def test_a_running_shard_learns_it_at_its_commit(db: Database) -> None:
    job = submit(db)
    fan_out(db, 1)
    taken = claimed(db)
    cancel_job(db, job.id, tenant=TENANT)
    assert not commit(db, taken, StepResult()).done
    assert view(db, job).state == "canceled"


@pytest.mark.parametrize("ending", ["expired", "failed"])
def test_a_canceled_job_ends_though_its_worker_died(db: Database, ending: str) -> None:
    job = submit(db)
    taken = claimed(db)
    cancel_job(db, job.id, tenant=TENANT)
    if ending == "expired":
        expire(db, taken)
        assert reap(db) == 1
    else:
        assert fail(db, taken, Failure("crash", "tail"))
    assert view(db, job).state == "canceled"


def test_a_finished_job_stays_finished(db: Database) -> None:
    job = submit(db)
    drain(db)
    answer = cancel_job(db, job.id, tenant=TENANT)
    assert not answer.accepted
    assert answer.job.state == "succeeded"


def test_another_tenants_job_is_absent(db: Database) -> None:
    job = submit(db)
    with pytest.raises(NotFound):
        cancel_job(db, job.id, tenant="other")
    with pytest.raises(NotFound):
        events(db, job.id, tenant="other")


def test_cancel_racing_the_last_commit_gives_one_ending(db: Database) -> None:
    for _ in range(10):
        job = submit(db)
        fan_out(db, 1)
        do(db, claimed(db))
        last = claimed(db)
        gate = threading.Barrier(2)
        committed: list[bool] = []

        def finish(last=last, gate=gate, committed=committed) -> None:
            gate.wait()
            committed.append(commit(db, last, StepResult()).done)

        thread = threading.Thread(target=finish)
        thread.start()
        gate.wait()
        cancel_job(db, job.id, tenant=TENANT)
        thread.join()
        state = view(db, job).state
        assert state == ("succeeded" if committed[0] else "canceled")
        endings = {"job.succeeded", "job.canceled", "job.failed"}
        assert sum(event.name in endings for event in events(db, job.id, tenant=TENANT)) == 1
