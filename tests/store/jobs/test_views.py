"""Views of jobs: a list is read as a whole, and says of each job what the job says of itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from store.database.database import Database
from store.jobs.claims import claim
from store.jobs.commits import StepResult, commit
from store.jobs.views import list_jobs
from tests.store.jobkit import TENANT, claimed, do, drain, plans, submit, view


def queries_of_a_list(db: Database) -> int:
    """How many statements a page of jobs takes."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        list_jobs(db, tenant=TENANT, page_size=100)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    return len(seen)


def test_a_longer_list_takes_no_more_queries(db: Database) -> None:
    submit(db)
    drain(db)
    for _ in range(2):
        submit(db)
    few = queries_of_a_list(db)
    for _ in range(30):
        submit(db)
    assert queries_of_a_list(db) == few
    assert few < 10


def test_a_list_says_of_each_job_what_the_job_says_of_itself(db: Database) -> None:
    done = submit(db)
    drain(db)
    running = submit(db, priority=5)
    assert commit(db, claimed(db), StepResult(fan_out=plans(2))).done
    assert do(db, claimed(db)).done
    taken = claim(db, "worker")
    assert taken is not None
    low, high, other = submit(db), submit(db, priority=3), submit(db, tenant="other", priority=1)
    listed = {job.id: job for job in list_jobs(db, tenant=TENANT).items}
    assert set(listed) == {done.id, running.id, low.id, high.id}
    for job_id, job in listed.items():
        alone = view(db, job)
        assert job.estimated_finish_at is None or alone.estimated_finish_at is not None, job_id
        assert strip(job) == strip(alone)
    assert [listed[one.id].queue_position for one in (high, low)] == [1, 3], "another tenant's stands between"
    assert listed[running.id].queue_position is None
    assert listed[running.id].counts.done == 5
    assert listed[done.id].counts.done == 10
    assert other.queue_position == 2


def strip(job: Any) -> dict[str, Any]:
    """All but the estimate, which moves with the clock."""
    return {name: getattr(job, name) for name in job.__slots__ if name != "estimated_finish_at"}
