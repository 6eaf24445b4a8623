"""A damaged object: the shard that made it is done again, what depends on it waits, and a job fails only after that."""

from __future__ import annotations

from typing import Any

import pytest

from store.database.database import Database
from store.job_kinds import KINDS
from store.job_kinds.labeling import VALIDATE
from store.jobs.cancel import cancel_job
from store.jobs.claims import Claim, claim
from store.jobs.commits import Failure, StepResult, commit, fail
from store.jobs.events import events
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, StepPlan
from store.jobs.remaking import Damaged
from store.jobs.submit import submit_job
from store.jobs.views import Job
from store.objects import ObjectInfo
from store.resources.artifacts import NewMade, find_made
from store.resources.files import File, list_files
from store.uploads.files import complete_upload, create_upload
from tests.store.jobkit import TENANT, claimed, plans, view

KIND: JobKind[Any] = JobKind(
    "test",
    (VALIDATE, StepPlan("work", "sample", fan_out=True, counts_images=True), StepPlan("end", "cpu")),
)
DIGEST = "d" * 64


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the kind, whose step plans name what each step makes."""
    monkeypatch.setitem(KINDS, KIND.name, KIND)


def submit(db: Database) -> Job:
    labels = create_upload(db, tenant=TENANT, filename="a.zip", size=1, sha256=DIGEST).upload.id
    complete_upload(db, labels, ObjectInfo(f"uploads/{labels}", 1, DIGEST, 0.0), tenant=TENANT)
    return submit_job(db, KIND, tenant=TENANT, spec={"labels": labels}, total=10, seed=1).job


def file_of(taken: Claim, resource: str, name: str) -> File:
    return File(resource, name, f"work/{taken.shard_id}/{taken.attempt}/1-{name}", 1, "0" * 64, "text/plain")


def damaged(file: File) -> Failure:
    why = f"{file.name} is damaged"
    return Failure("damaged_object", why, retryable=True, damaged=Damaged(file.resource_id, file.name, file.key))


def validate(db: Database, label_set: str = "ls_1") -> File:
    """Commit the step that makes the label set; its file."""
    taken = claimed(db)
    assert taken.step == "validate"
    file = file_of(taken, label_set, "labels")
    made = NewMade("label_set", label_set, DIGEST, {})
    result = StepResult(files=(file,), made=(made,), job_result=JobResult(label_set=label_set), fan_out=plans(2))
    assert commit(db, taken, result).done
    return file


def work(db: Database) -> File:
    """Commit a shard of work; the file that it made."""
    taken = claimed(db)
    assert taken.step == "work"
    file = file_of(taken, taken.job_id, f"shards/{taken.position}")
    assert commit(db, taken, StepResult(files=(file,))).done
    return file


def names(db: Database, job: Job) -> list[str]:
    return [event.name for event in events(db, job.id, tenant=TENANT)]


def test_shard_that_made_a_damaged_object_is_done_again_before_the_one_that_read_it(db: Database) -> None:
    job = submit(db)
    validate(db)
    work(db)
    bad = work(db)
    assert fail(db, claimed(db), damaged(bad))
    assert view(db, job).state in ("running", "finalizing")
    again = claimed(db)
    assert (again.step, again.position, again.attempt) == ("work", 1, 2)
    assert claim(db, "other") is None, "the last step waits"
    assert [file.name for file in list_files(db, job.id, tenant=TENANT)] == ["shards/0"]
    assert commit(db, again, StepResult(files=(file_of(again, job.id, "shards/1"),))).done
    end = claimed(db)
    assert (end.step, end.attempt) == ("end", 2)
    assert claim(db, "other") is None, "there is one shard of the last step"
    assert commit(db, end, StepResult()).done
    assert view(db, job).state == "succeeded"
    assert names(db, job).count("job.succeeded") == names(db, job).count("object.remade") == 1


def test_first_shard_of_a_stream_does_not_plan_the_rest_twice(db: Database) -> None:
    job = submit(db)
    taken = claimed(db)
    commit(db, taken, StepResult(fan_out=plans(1)))
    first = claimed(db)
    file = file_of(first, job.id, "shards/0")
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE shards SET input = '{\"until\": 9, \"stop\": 5}' WHERE step = 'work'")
    assert commit(db, first, StepResult(files=(file,))).done
    assert fail(db, claimed(db), damaged(file))
    assert claimed(db).input == {"stop": 5}


def test_thing_that_was_made_is_made_again_under_its_id(db: Database) -> None:
    job = submit(db)
    bad = validate(db)
    first, second = claimed(db, "one"), claimed(db, "two")
    assert fail(db, first, damaged(bad))
    assert find_made(db, "label_set", DIGEST, tenant=TENANT) is None, "nobody uses it meanwhile"
    assert fail(db, second, damaged(bad)), "a second reader waits for the same"
    taken = claimed(db)
    assert (taken.step, taken.attempt) == ("validate", 2)
    made = NewMade("label_set", "ls_2", DIGEST, {})
    new = file_of(taken, "ls_2", "labels")
    commit(db, taken, StepResult(files=(new,), made=(made,), job_result=JobResult(label_set="ls_2"), fan_out=plans(2)))
    assert view(db, job).result.label_set == "ls_1"
    assert [file.key for file in list_files(db, "ls_1", tenant=TENANT)] == [new.key]
    assert list_files(db, "ls_2", tenant=TENANT) == []
    work(db)
    work(db)
    assert claimed(db).step == "end", "no shard was planned twice"
    assert names(db, job).count("object.remade") == 1


def test_reader_of_the_object_before_it_was_made_again_only_reads_again(db: Database) -> None:
    job = submit(db)
    bad = validate(db)
    early, late = claimed(db, "one"), claimed(db, "two")
    assert fail(db, early, damaged(bad))
    validate(db, "ls_1b")
    assert fail(db, late, damaged(bad))
    assert names(db, job).count("object.remade") == 1
    assert {claimed(db).step, claimed(db).step} == {"work"}


def test_object_that_is_damaged_each_time_fails_the_job(db: Database) -> None:
    job = submit(db)
    validate(db)
    work(db)
    bad = work(db)
    tried = 0
    while view(db, job).state != "failed":
        tried += 1
        assert tried < 20
        taken = claimed(db)
        if taken.step == "work":
            bad = file_of(taken, job.id, "shards/1")
            commit(db, taken, StepResult(files=(bad,)))
        else:
            fail(db, taken, damaged(bad))
    error = view(db, job).error
    assert error is not None
    assert (error.code, error.retryable) == ("damaged_object", True)
    assert names(db, job).count("object.remade") == db.settings.worker.max_attempts - 1


@pytest.mark.parametrize("resource", ["upl_1", "gen_1", "ds_1"])
def test_object_of_another_job_is_read_again_and_then_named_with_what_helps(db: Database, resource: str) -> None:
    job = submit(db)
    for _ in range(db.settings.worker.max_attempts):
        assert fail(db, claimed(db), damaged(File(resource, "content", "uploads/1", 1, "", "")))
    error = view(db, job).error
    assert error is not None
    assert error.detail.startswith("content is damaged; ")
    assert "again" in error.detail


def test_canceled_job_makes_nothing_again(db: Database) -> None:
    job = submit(db)
    validate(db)
    work(db)
    bad = work(db)
    reader = claimed(db)
    cancel_job(db, job.id, tenant=TENANT)
    assert fail(db, reader, damaged(bad))
    assert view(db, job).state == "canceled"
    assert claim(db, "other") is None
