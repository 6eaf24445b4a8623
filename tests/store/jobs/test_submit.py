"""New jobs: checked as a whole, made once per idempotency key, limited by quotas, listed in pages."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from store.database import idempotency
from store.database.clock import database_now
from store.database.database import Database, open_database
from store.database.idempotency import IdempotencyKey, remember_answer
from store.errors import IdempotencyMismatch, InvalidRequest, NotFound, QuotaExceeded, StoreUnavailable
from store.job_kinds import KINDS
from store.job_kinds.generate import GenerateSpec
from store.job_kinds.labeling import INVERT, TRAIN_LABELER
from store.jobs.claims import heartbeat
from store.jobs.events import events
from store.jobs.kinds import JobKind
from store.jobs.submit import submit_job, submit_request
from store.jobs.views import job_view, list_jobs
from store.objects import ObjectStore
from store.resources.artifacts import NewMade, add_made
from store.resources.generators import get_generator, list_generators
from store.settings import Settings
from store.tables import jobs, outbox, shards, steps
from store.tenancy.api_keys import create_key
from store.uploads.files import complete_upload, create_upload, start_upload
from store.webhooks.endpoints import create_endpoint
from tests.store.jobkit import KIND, TENANT, claimed, drain, submit

CONTENT = b"an archive"


@pytest.fixture
def generator(settings: Settings) -> str:
    """A built-in generator's description, as one that is installed."""
    folder = Path(settings.generators_folder) / "heads"
    folder.mkdir(parents=True)
    description = {"config": {"resolution": [64, 48]}, "info": {"digest": "d" * 64, "licence": "CC0-1.0"}}
    (folder / "generator.json").write_text(json.dumps(description))
    (folder.parent / "half-written").mkdir()
    (folder.parent / "half-written" / "generator.json").write_text("{")
    return "heads"


@pytest.fixture
def world(generator: str, db: Database) -> Database:
    """A database that lists the generator."""
    return db


def upload(db: Database, objects: ObjectStore) -> str:
    made = create_upload(
        db, tenant=TENANT, filename="a.zip", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()
    ).upload
    writer = start_upload(db, objects, made.id, tenant=TENANT)
    writer.write(CONTENT)
    complete_upload(db, made.id, writer.finish(), tenant=TENANT)
    return made.id


def test_built_in_generators_are_listed_without_a_worker(world: Database) -> None:
    (listed,) = list_generators(world, tenant=TENANT).items
    assert (listed.name, listed.height, listed.width, listed.builtin) == ("heads", 64, 48, True)
    assert get_generator(world, "heads", tenant="anybody").id == listed.id
    again = open_database(world.settings)
    assert list_generators(again, tenant=TENANT).items == [listed]
    again.close()


def test_a_job_is_accepted_with_all_its_rows(world: Database, objects: ObjectStore) -> None:
    spec = GenerateSpec(labels=upload(world, objects), generator="heads", count=10, labels_map={"team": "eyes"})
    made = submit_request(world, spec, tenant=TENANT, request_id="req-1")
    job = made.job
    assert not made.replayed
    assert [step.name for step in job.steps] == ["validate", "invert", "train_labeler", "sample", "finalize"]
    assert job.result.dataset.startswith("ds_")
    assert job.labels == {"team": "eyes"}
    assert 0 <= job.seed < 2**53, "a seed was drawn and recorded"
    with world.read() as connection:
        waiting = connection.execute(select(outbox.c.shard_id)).scalars().all()
        assert waiting == connection.execute(select(shards.c.id)).scalars().all()
    (event,) = events(world, job.id, tenant=TENANT)
    assert (event.number, event.name, event.data["request_id"]) == (1, "job.queued", "req-1")


def test_everything_wrong_is_named_at_once(world: Database, objects: ObjectStore) -> None:
    pending = create_upload(world, tenant=TENANT, filename="a.zip", size=3, sha256="0" * 64).upload
    spec = GenerateSpec(labels=pending.id, generator="nose", count=2_000_000)
    with pytest.raises(InvalidRequest) as refused:
        submit_request(world, spec, tenant=TENANT)
    assert {problem.pointer for problem in refused.value.problems} == {"/labels", "/generator", "/count"}
    theirs = GenerateSpec(labels=upload(world, objects), generator="heads", count=1)
    with pytest.raises(InvalidRequest):
        submit_request(world, theirs, tenant="other")


def test_a_key_sent_by_eight_at_once_makes_one_job(world: Database, objects: ObjectStore) -> None:
    spec = GenerateSpec(labels=upload(world, objects), generator="heads", count=10)
    key = IdempotencyKey.of("k", "POST", "/v1/jobs", b"body")
    gate = threading.Barrier(8)
    made: list[tuple[str, bool]] = []

    def send() -> None:
        gate.wait()
        answer = submit_request(world, spec, tenant=TENANT, idempotency_key=key)
        made.append((answer.job.id, answer.replayed))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job for job, _ in made}) == 1
    assert sorted(replayed for _, replayed in made) == [False] + [True] * 7
    with world.read() as connection:
        assert connection.execute(select(func.count()).select_from(jobs)).scalar_one() == 1
    remember_answer(world, TENANT, key, {"status": 202})
    assert submit_request(world, spec, tenant=TENANT, idempotency_key=key).answer == {"status": 202}
    other = IdempotencyKey.of("k", "POST", "/v1/jobs", b"another body")
    with pytest.raises(IdempotencyMismatch):
        submit_request(world, spec, tenant=TENANT, idempotency_key=other)
    assert not submit_request(world, spec, tenant=TENANT, idempotency_key=None).replayed


def test_an_upload_key_is_replayed(db: Database) -> None:
    key = IdempotencyKey.of("k", "POST", "/v1/uploads", b"body")
    arguments = {"tenant": TENANT, "filename": "a.zip", "size": 3, "sha256": "0" * 64, "idempotency_key": key}
    first, second = create_upload(db, **arguments), create_upload(db, **arguments)
    assert (first.upload, first.replayed, second.replayed) == (second.upload, False, True)


def test_queued_jobs_are_limited_and_ended_ones_do_not_count(db: Database) -> None:
    db.settings.limits.queued_jobs = 2
    submit(db)
    submit(db)
    with pytest.raises(QuotaExceeded):
        submit(db)
    submit(db, tenant="other")
    drain(db)
    submit(db)


def test_lists_are_paged_and_filtered(db: Database) -> None:
    made = [submit(db).id for _ in range(5)]
    page = list_jobs(db, tenant=TENANT, page_size=2)
    seen = [job.id for job in page.items]
    while page.next_page_token:
        page = list_jobs(db, tenant=TENANT, page_size=2, page_token=page.next_page_token)
        seen += [job.id for job in page.items]
    assert seen == made[::-1]
    assert list_jobs(db, tenant=TENANT, state="running").items == []
    assert (
        len(list_jobs(db, tenant=TENANT, kind="test", created_after=datetime.now(UTC) - timedelta(hours=1)).items) == 5
    )
    assert list_jobs(db, tenant="other").items == []
    with pytest.raises(InvalidRequest):
        list_jobs(db, tenant=TENANT, page_token="no token")
    with pytest.raises(NotFound):
        job_view(db, made[0], tenant="other")


def learning_kind(monkeypatch: pytest.MonkeyPatch) -> JobKind[Any]:
    """A registered kind with the steps that learn from labelled images."""
    kind: JobKind[Any] = JobKind("like_generate", (INVERT, TRAIN_LABELER))
    monkeypatch.setitem(KINDS, kind.name, kind)
    return kind


def _seconds_left(db: Database, job_id: str) -> float:
    end = job_view(db, job_id, tenant=TENANT).estimated_finish_at
    assert end is not None
    return (end - datetime.now(UTC)).total_seconds()


def test_the_first_job_is_estimated_by_its_own_pace_while_it_inverts(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = learning_kind(monkeypatch)
    job = submit_job(db, kind, tenant=TENANT, spec={"generator": "none", "labels": "ls_1"}, total=0).job
    assert job_view(db, job.id, tenant=TENANT).estimated_finish_at is None, "nothing is known of its labels"
    with db.write() as connection:
        add_made(connection, TENANT, NewMade("label_set", "ls_1", "d1", {"images": 50}))
    heartbeat(db, claimed(db), done=10, total=50)
    with db.write() as connection:
        connection.execute(update(steps).where(steps.c.name == "invert").values(started_at=database_now() - 84.0))
    # A fifth of the inversion took 84 s, so that all of it takes 420 s, as is typical; and so do two trainings: 180 s.
    assert 500 < _seconds_left(db, job.id) < 530
    with db.write() as connection:
        connection.execute(update(steps).where(steps.c.name == "invert").values(started_at=database_now() - 42.0))
    assert 245 < _seconds_left(db, job.id) < 270, "twice as fast: 168 s and about 90 s"


def test_the_slow_start_of_a_short_step_does_not_stretch_the_estimate(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = learning_kind(monkeypatch)
    with db.write() as connection:
        add_made(connection, TENANT, NewMade("label_set", "ls_1", "d1", {"images": 12}))
    labeler = {"train_on_all": False}
    spec = {"generator": "none", "labels": "ls_1", "inversion": {"steps": 10}, "labeler": labeler}
    job = submit_job(db, kind, tenant=TENANT, spec=spec, total=0).job
    heartbeat(db, claimed(db), done=6, total=12)
    with db.write() as connection:
        connection.execute(update(steps).where(steps.c.name == "invert").values(started_at=database_now() - 16.0))
    assert _seconds_left(db, job.id) < 240, "16 s more, and a training that is typically 90 s"


def test_the_end_is_estimated_from_what_was_measured(db: Database) -> None:
    first = submit(db)
    assert job_view(db, first.id, tenant=TENANT).estimated_finish_at is None
    drain(db)
    second = submit(db)
    assert job_view(db, second.id, tenant=TENANT).estimated_finish_at is not None


def test_a_conflict_that_stays_is_an_error_and_not_a_missing_resource(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another request keeps the same idempotency key, and what it made is never seen."""
    key = IdempotencyKey.of("k", "POST", "/", b"")
    with db.write() as connection:
        idempotency.keep(connection, TENANT, key, "job_1")
    monkeypatch.setattr(idempotency, "find", lambda *_: None)
    asked = {"tenant": TENANT, "idempotency_key": key}
    for ask in (
        lambda: create_key(db, name="a", scopes=["read"], days=1, **asked),
        lambda: create_endpoint(db, url="https://93.184.215.14/", lookup=lambda *_: ["93.184.215.14"], **asked),
        lambda: submit_job(db, KIND, spec={}, total=1, **asked),
    ):
        with pytest.raises(StoreUnavailable, match="another request wrote the same at once"):
            ask()
