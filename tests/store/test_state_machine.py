"""Any order of claims, commits, deaths, cancels and reapers ends every job once, with one commit a shard."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from store.database.clock import database_now
from store.database.database import Database
from store.errors import NotResumable
from store.jobs.cancel import cancel_job
from store.jobs.claims import Claim, claim, give_back, heartbeat
from store.jobs.commits import Failure, StepResult, commit, fail
from store.jobs.events import events
from store.jobs.kinds import QUEUES
from store.jobs.reaper import expire_jobs, reap
from store.jobs.resume import resume_job
from store.jobs.states import CLAIMABLE_JOB_STATES, TABLES, TERMINAL_JOB_STATES
from store.jobs.views import job_view
from store.tables import jobs, metadata, shards
from tests.store.jobkit import KIND, TENANT, do, expire, plans, submit

ENDINGS = {"job.succeeded", "job.canceled", "job.failed", "job.expired"}


QUEUE_OF = {step.name: step.queue for step in KIND.steps}


class Machine(RuleBasedStateMachine):
    """`claims` holds everything that was ever claimed: using an old one is what a zombie does."""

    db: Database
    claims = Bundle("claims")
    jobs_made = Bundle("jobs_made")

    def __init__(self) -> None:
        super().__init__()
        with self.db.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        self.submitted = 0
        self.ended: dict[str, str] = {}
        self.commits: Counter[str] = Counter()
        self.resumed: Counter[str] = Counter()

    @precondition(lambda self: self.submitted < 3)
    @rule(target=jobs_made, priority=st.integers(-1, 1), allow_partial=st.booleans())
    def submit_job(self, priority: int, allow_partial: bool) -> str:
        self.submitted += 1
        return submit(self.db, tenant=TENANT, priority=priority, allow_partial=allow_partial).id

    @rule(target=claims, owner=st.sampled_from(["a", "b"]), queues=st.sampled_from([QUEUES, ("sample",), ("cpu",)]))
    def claim_shard(self, owner: str, queues: tuple[str, ...]) -> object:
        waiting = self._jobs_with_work(queues)
        taken = claim(self.db, owner, queues)
        assert (None if taken is None else taken.job_id) == (waiting[0] if waiting else None)
        assert taken is None or QUEUE_OF[taken.step] in queues
        return multiple() if taken is None else taken

    @rule(taken=claims, done=st.integers(0, 5))
    def beat(self, taken: Claim, done: int) -> None:
        answer = heartbeat(self.db, taken, done=done)
        assert (answer == "lost") == (not self._owns(taken))

    @rule(taken=claims, times=st.integers(1, 2))
    def commit_result(self, taken: Claim, times: int) -> None:
        owned = self._owns(taken)
        before = self._state(taken.shard_id)
        for _ in range(times):
            committed = do(self.db, taken).done
        if committed and before != "succeeded":
            assert owned
            self.commits[taken.shard_id] += 1

    @rule(taken=claims)
    def ask_for_more(self, taken: Claim) -> None:
        """The last step sends the job back for one more shard, a shard of work finds that there is more to do."""
        before, owned = self._state(taken.shard_id), self._owns(taken)
        more = {"work": "further", "finish": "top_up"}.get(taken.step)
        if more is not None and before == "running":
            done = commit(self.db, taken, StepResult(**{more: plans(1)})).done
            assert owned or not done
            self.commits[taken.shard_id] += done

    @rule(taken=claims, permanent=st.booleans())
    def attempt_fails(self, taken: Claim, permanent: bool) -> None:
        owned = self._owns(taken)
        assert fail(self.db, taken, Failure("crash", "tail", permanent=permanent and taken.position == 1)) == owned

    @rule(taken=consumes(claims))
    def return_it(self, taken: Claim) -> None:
        owned = self._owns(taken)
        assert give_back(self.db, taken) == owned

    @rule(taken=claims)
    def lease_ends(self, taken: Claim) -> None:
        if self._owns(taken):
            expire(self.db, taken)

    @rule()
    def reap_leases(self) -> None:
        reap(self.db)
        assert reap(self.db) == 0

    @rule(job=jobs_made)
    def cancel(self, job: str) -> None:
        terminal = job_view(self.db, job, tenant=TENANT).terminal
        answer = cancel_job(self.db, job, tenant=TENANT)
        assert not (terminal and answer.accepted)

    @rule(job=jobs_made)
    def resume(self, job: str) -> None:
        state = job_view(self.db, job, tenant=TENANT).state
        if state in ("succeeded", "canceled", "canceling", "expired"):
            with pytest.raises(NotResumable):
                resume_job(self.db, job, tenant=TENANT)
            return
        after = resume_job(self.db, job, tenant=TENANT)
        assert after.state == ("queued" if state == "failed" else state)
        if state == "failed":
            self.ended.pop(job)
            self.resumed[job] += 1

    @rule(job=jobs_made)
    def time_is_over(self, job: str) -> None:
        with self.db.write() as connection:
            connection.execute(jobs.update().where(jobs.c.id == job).values(expires_at=0.0))
        before = job_view(self.db, job, tenant=TENANT)
        assert expire_jobs(self.db) == (not before.terminal and before.state != "canceling")
        with self.db.write() as connection:
            connection.execute(jobs.update().where(jobs.c.id == job).values(expires_at=None))

    @invariant()
    def jobs_are_consistent(self) -> None:
        with self.db.read() as connection:
            rows = connection.execute(select(jobs.c.id)).scalars().all()
        for job_id in rows:
            self._check(job_id)

    def _check(self, job_id: str) -> None:
        job = job_view(self.db, job_id, tenant=TENANT)
        states = self._shard_states(job_id)
        assert job.state in TABLES["job"]
        assert 0 <= job.counts.done <= job.counts.total
        if job_id in self.ended:
            assert job.state == self.ended[job_id], "a terminal state never changes"
        if job.terminal:
            self.ended[job_id] = job.state
            assert "pending" not in states
            assert job.counts.done + job.counts.rejected + job.counts.failed == job.counts.total
            assert all(step.state not in ("pending", "running") for step in job.steps)
        if job.state in ("succeeded", "canceled"):
            assert "running" not in states
        if job.state == "succeeded":
            assert set(states) <= ({"succeeded", "poisoned"} if job.spec["allow_partial"] else {"succeeded"})
        log = events(self.db, job_id, tenant=TENANT, limit=1000)
        assert [event.number for event in log] == list(range(1, len(log) + 1))
        assert sum(event.name in ENDINGS for event in log) == job.terminal + self.resumed[job_id]

    def teardown(self) -> None:
        for _ in range(200):
            with self.db.read() as connection:
                left = connection.execute(select(jobs.c.id).where(jobs.c.state.not_in(TERMINAL_JOB_STATES))).all()
            if not left:
                break
            taken = claim(self.db, "last")
            if taken is not None:
                do(self.db, taken)
            else:
                with self.db.write() as connection:
                    connection.execute(shards.update().where(shards.c.state == "running").values(lease_until=0.0))
                reap(self.db)
        assert not left, "every accepted job ends"
        self.jobs_are_consistent()
        assert max(self.commits.values(), default=0) <= 1, "a shard was committed twice"

    def _jobs_with_work(self, queues: tuple[str, ...]) -> list[str]:
        """Ids of the jobs that have something to claim, those of higher priority and then older ones first."""
        with self.db.read() as connection:
            rows = connection.execute(
                select(jobs.c.id, jobs.c.priority, jobs.c.created_at)
                .join(shards, shards.c.job_id == jobs.c.id)
                .where(jobs.c.state.in_(CLAIMABLE_JOB_STATES), shards.c.state == "pending", shards.c.queue.in_(queues))
                .where(shards.c.not_before <= database_now())
            ).all()
        return [row.id for row in sorted(set(rows), key=lambda row: (-row.priority, row.created_at, row.id))]

    def _owns(self, taken: Claim) -> bool:
        with self.db.read() as connection:
            row = connection.execute(select(shards).where(shards.c.id == taken.shard_id)).one()
        return bool((row.state, row.owner, row.attempt) == ("running", taken.owner, taken.attempt))

    def _state(self, shard_id: str) -> str:
        with self.db.read() as connection:
            return str(connection.execute(select(shards.c.state).where(shards.c.id == shard_id)).scalar_one())

    def _shard_states(self, job_id: str) -> list[str]:
        with self.db.read() as connection:
            return list(connection.execute(select(shards.c.state).where(shards.c.job_id == job_id)).scalars())


def _check_model(db: Database, examples: int, steps: int) -> None:
    machine = type("BoundMachine", (Machine,), {"db": db})
    thorough = hypothesis_settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    run_state_machine_as_test(machine, settings=thorough)


def test_the_model_of_jobs_holds(db: Database) -> None:
    _check_model(db, examples=8 if db.is_sqlite else 4, steps=20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_model_of_jobs_holds_for_long(db: Database) -> None:
    _check_model(db, examples=150, steps=50)
