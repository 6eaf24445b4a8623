"""What jobs make takes the name of the job."""

from __future__ import annotations

from store.database.database import Database
from store.jobs.commits import StepResult, commit
from store.jobs.submit import submit_job
from store.resources.artifacts import NewMade, get_label_set
from tests.store.jobkit import KIND, TENANT, claimed, plans


def test_artifact_takes_the_name_of_the_job_that_made_it(db: Database) -> None:
    submit_job(db, KIND, tenant=TENANT, spec={"name": "faces"}, total=10)
    made = NewMade("label_set", "ls_1", "d" * 64, {"images": 3})
    assert commit(db, claimed(db), StepResult(made=(made,), fan_out=plans(1))).done
    found = get_label_set(db, "ls_1", tenant=TENANT)
    assert (found.name, found.info["images"]) == ("faces", 3)


def test_artifact_of_a_job_without_a_name_has_none(db: Database) -> None:
    submit_job(db, KIND, tenant=TENANT, spec={}, total=10)
    assert commit(db, claimed(db), StepResult(made=(NewMade("label_set", "ls_1", "d", {}),), fan_out=plans(1))).done
    assert get_label_set(db, "ls_1", tenant=TENANT).name is None
