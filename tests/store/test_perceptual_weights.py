"""Labelling jobs with a generator that nothing can compare images for: refused at the request, with what helps."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import update

from store.database.clock import database_now
from store.database.database import Database
from store.errors import InvalidRequest
from store.job_kinds.draw_samples import DrawSamplesSpec
from store.job_kinds.generate import GenerateSpec
from store.job_kinds.train_encoder import TrainEncoderSpec
from store.job_kinds.train_labeler import TrainLabelerSpec
from store.jobs.submit import submit_request
from store.requests.base import JobSpec
from store.resources.files import File, add_files
from store.resources.generators import NewGenerator, add_generator
from store.tables import workers
from store.workers import worker_alive
from tests.store.jobkit import TENANT


@pytest.fixture
def imported(db: Database) -> str:
    """A generator without a perceptual network, of 64 x 32 pixels."""
    with db.write() as connection:
        add_generator(connection, TENANT, NewGenerator("gen_1", "cats", "d" * 64, 64, 32, "", {}))
    return "cats"


def refusals(db: Database, generator: str = "cats") -> list[list[str]]:
    """Details about `/generator` of each kind of job that inverts images; [] where the kind has none."""
    found = []
    requests: tuple[JobSpec, ...] = (
        GenerateSpec(labels="upl_none", generator=generator, count=1),
        TrainLabelerSpec(labels="upl_none", generator=generator),
        TrainEncoderSpec(labels="upl_none", generator=generator, train_on="labels"),
    )
    for request in requests:
        with pytest.raises(InvalidRequest) as caught:
            submit_request(db, request, tenant=TENANT)
        problems = caught.value.problems
        assert "/labels" in [problem.pointer for problem in problems], "all problems are listed at once"
        found.append([problem.detail for problem in problems if problem.pointer == "/generator"])
    return found


def test_job_is_refused_where_no_worker_can_compare_images(db: Database, imported: str) -> None:
    assert refusals(db) == [[], [], []], "no worker was heard: it is not known"
    worker_alive(db, "one", perceptual=False)
    worker_alive(db, "two", perceptual=False)
    for (detail,) in refusals(db):
        assert "cats has no perceptual network of its own" in detail
        assert "offhand weights pull vgg" in detail
        assert "OFFHAND_WORKER__PERCEPTUAL_WEIGHTS=FOLDER" in detail
    with pytest.raises(InvalidRequest) as caught:
        submit_request(db, TrainEncoderSpec(generator="cats"), tenant=TENANT)
    assert [problem.pointer for problem in caught.value.problems] == ["/generator"]
    drawn = submit_request(db, DrawSamplesSpec(generator="cats", count=1), tenant=TENANT)
    assert drawn.job.state == "queued", "samples are drawn without comparing anything"


def test_job_is_accepted_where_a_worker_has_weights_or_publishes_nothing(db: Database, imported: str) -> None:
    worker_alive(db, "one", perceptual=False)
    worker_alive(db, "two")
    assert refusals(db) == [[], [], []], "an older worker publishes nothing"
    worker_alive(db, "two", perceptual=False)
    assert all(refusals(db))
    worker_alive(db, "two", perceptual=True)
    assert refusals(db) == [[], [], []]
    with db.write() as connection:
        connection.execute(update(workers).where(workers.c.id == "two").values(seen_at=database_now() - 3600.0))
    assert all(refusals(db)), "the worker with the weights is gone"


def test_generator_with_a_perceptual_network_of_its_own_needs_no_weights(db: Database, imported: str) -> None:
    worker_alive(db, "one", perceptual=False)
    with db.write() as connection:
        digest = hashlib.sha256(b"{}").hexdigest()
        add_files(connection, TENANT, [File("gen_1", "perceptual.json", "k", 2, digest, "application/json")])
    assert refusals(db) == [[], [], []]


def test_generator_too_small_for_lpips_is_refused_whatever_workers_have(db: Database) -> None:
    with db.write() as connection:
        add_generator(connection, TENANT, NewGenerator("gen_1", "tiny", "d" * 64, 64, 16, "", {}))
    worker_alive(db, "one", perceptual=True)
    for (detail,) in refusals(db, "tiny"):
        assert "LPIPS needs images of 32 pixels or more" in detail
