"""What a job that waits or runs needs cannot be deleted, or stays until the job has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, update

from store.database.clock import database_now
from store.database.database import Database
from store.errors import Gone, InUse, InvalidRequest, NotFound
from store.job_kinds import KINDS
from store.job_kinds.evaluate import EvaluateSpec
from store.job_kinds.export import ExportSpec
from store.jobs.cancel import cancel_job
from store.jobs.claims import claim
from store.jobs.commits import Failure, fail
from store.jobs.job_result import JobResult
from store.jobs.kinds import JobKind, StepPlan
from store.jobs.resume import resume_job
from store.jobs.submit import Hooks, submit_job, submit_request
from store.objects import ObjectStore
from store.resources.artifacts import NewMade, add_made
from store.resources.datasets import add_dataset, delete_dataset, expired_datasets, get_dataset, undelete_dataset
from store.resources.generators import NewGenerator, add_generator, delete_generator
from store.tables import datasets, files
from store.uploads.files import add_received, delete_upload
from tests.store.jobkit import TENANT, submit
from tests.store.test_quotas import stored

KIND: JobKind[Any] = JobKind("any", (StepPlan("plan", "cpu"),))
Uses = Callable[..., str]


def use(db: Database, kind: JobKind[Any] = KIND, result: dict[str, str] | None = None, **spec: Any) -> str:
    """A job that waits, of a request with these fields; its id."""
    hooks = Hooks(result=lambda _job: JobResult.of(result or {}))
    return submit_job(db, kind, tenant=TENANT, spec=spec, total=1, hooks=hooks).job.id


def add_ready_dataset(db: Database, name: str = "ds_1", **spec: Any) -> str:
    """A finished dataset whose job has ended; its id."""
    job = submit_job(db, KINDS["generate"], tenant=TENANT, spec=spec, total=1).job
    with db.write() as connection:
        add_dataset(connection, name, tenant=TENANT, job_id=job.id, count=1)
        ready = update(datasets).where(datasets.c.id == name).values(state="ready", finished_at=database_now())
        connection.execute(ready)
    cancel_job(db, job.id, tenant=TENANT)
    return name


def add_own_generator(db: Database) -> None:
    with db.write() as connection:
        add_generator(connection, TENANT, NewGenerator("gen_1", "mine", "d" * 64, 16, 16, "", {}))


@pytest.mark.parametrize("field", ["labels", "generated_labels", "source"])
def test_an_upload_that_a_job_names_is_not_deleted(db: Database, objects: ObjectStore, field: str) -> None:
    add_received(db, "upl_1", stored(1, 10), tenant=TENANT, filename="a.zip")
    job = use(db, **{field: "upl_1"})
    with pytest.raises(InUse, match=f"upl_1 is used by .*{job}"):
        delete_upload(db, objects, "upl_1", tenant=TENANT)
    claim(db, "worker")
    with pytest.raises(InUse, match=job):
        delete_upload(db, objects, "upl_1", tenant=TENANT)
    cancel_job(db, job, tenant=TENANT)
    with pytest.raises(InUse, match=job):  # its shard still runs
        delete_upload(db, objects, "upl_1", tenant=TENANT)


def test_an_upload_is_deleted_once_its_jobs_have_ended(db: Database, objects: ObjectStore) -> None:
    add_received(db, "upl_1", stored(1, 10), tenant=TENANT, filename="a.zip")
    cancel_job(db, use(db, labels="upl_1"), tenant=TENANT)
    submit_job(db, KIND, tenant="other", spec={"labels": "upl_1"}, total=1)
    delete_upload(db, objects, "upl_1", tenant=TENANT)
    with pytest.raises(NotFound):
        delete_upload(db, objects, "upl_1", tenant=TENANT)


def test_every_job_that_uses_a_resource_is_named(db: Database, objects: ObjectStore) -> None:
    add_received(db, "upl_1", stored(1, 10), tenant=TENANT, filename="a.zip")
    made = [use(db, labels="upl_1") for _ in range(12)]
    with pytest.raises(InUse) as refused:
        delete_upload(db, objects, "upl_1", tenant=TENANT)
    assert all(job in refused.value.detail for job in made[:10])
    assert "and 2 more" in refused.value.detail


@pytest.mark.parametrize("named", ["gen_1", "mine"])
def test_a_generator_that_a_job_names_is_not_deleted(db: Database, objects: ObjectStore, named: str) -> None:
    add_own_generator(db)
    job = use(db, generator=named)
    with pytest.raises(InUse, match=job):
        delete_generator(db, objects, "mine", tenant=TENANT)
    cancel_job(db, job, tenant=TENANT)
    delete_generator(db, objects, "mine", tenant=TENANT)


def test_the_generator_of_a_dataset_is_kept_while_the_dataset_is_evaluated(db: Database, objects: ObjectStore) -> None:
    add_own_generator(db)
    job = use(db, KINDS["evaluate"], dataset=add_ready_dataset(db, generator="mine"))
    with pytest.raises(InUse, match=job):
        delete_generator(db, objects, "mine", tenant=TENANT)


def test_the_generator_of_a_labeler_is_kept_while_the_labeler_is_assessed(db: Database, objects: ObjectStore) -> None:
    add_own_generator(db)
    parents = {"label_set_id": "ls_1", "generator_id": "gen_1", "inversion_id": "inv_1"}
    with db.write() as connection:
        add_made(connection, TENANT, NewMade("labeler", "lab_1", "d" * 64, {}, parents))
    job = use(db, KINDS["assess_labeler"], labeler="lab_1")
    with pytest.raises(InUse, match=job):
        delete_generator(db, objects, "mine", tenant=TENANT)


@pytest.mark.parametrize("kind", ["export", "evaluate"])
def test_a_dataset_is_neither_deleted_nor_swept_while_a_job_reads_it(db: Database, kind: str) -> None:
    dataset = add_ready_dataset(db)
    job = use(db, JobKind(kind, KIND.steps), dataset=dataset)
    with pytest.raises(InUse, match=job):
        delete_dataset(db, dataset, tenant=TENANT)
    with db.write() as connection:
        connection.execute(update(datasets).values(expires_at=database_now() - 1))
        about = {"name": "a", "bytes": 1, "sha256": "", "media_type": "", "created_at": 0.0, "tenant": TENANT}
        connection.execute(insert(files).values(key="k", resource_id=dataset, **about))
        assert expired_datasets(connection) == []
    cancel_job(db, job, tenant=TENANT)
    with db.read() as connection:
        assert [found for found, _ in expired_datasets(connection)] == [dataset]
    delete_dataset(db, dataset, tenant=TENANT)


def test_a_deleted_dataset_has_the_state_deleted_and_takes_no_new_jobs(db: Database) -> None:
    dataset = add_ready_dataset(db)
    delete_dataset(db, dataset, tenant=TENANT)
    assert get_dataset(db, dataset, tenant=TENANT).state == "deleted"
    with pytest.raises(Gone, match="deleted"):
        submit_request(db, ExportSpec(dataset=dataset, format="coco"), tenant=TENANT)
    with pytest.raises(InvalidRequest) as refused:
        submit_request(db, EvaluateSpec(dataset=dataset, labels="upl_1"), tenant=TENANT)
    assert refused.value.problems[0].detail == f"the dataset {dataset!r} was deleted"
    undelete_dataset(db, dataset, tenant=TENANT)
    assert get_dataset(db, dataset, tenant=TENANT).state == "ready"


def test_a_job_whose_dataset_was_deleted_is_not_resumed(db: Database) -> None:
    job = submit(db)
    with db.write() as connection:
        add_dataset(connection, "ds_1", tenant=TENANT, job_id=job.id, count=1)
    taken = claim(db, "worker")
    assert taken is not None
    fail(db, taken, Failure("out_of_memory", "tail", permanent=True, retryable=True))
    delete_dataset(db, "ds_1", tenant=TENANT)
    with pytest.raises(Gone, match=r"ds_1.*was deleted"):
        resume_job(db, job.id, tenant=TENANT)
    undelete_dataset(db, "ds_1", tenant=TENANT)
    assert resume_job(db, job.id, tenant=TENANT).state == "queued"
