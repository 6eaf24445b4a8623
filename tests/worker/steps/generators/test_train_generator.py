"""Trainings as jobs: chains of short items, live results, kills, cancel, and requests that are refused."""

from __future__ import annotations

import io
import json
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.generators.files import load_generator
from store.database.database import Database, open_database
from store.errors import InvalidRequest
from store.job_kinds.add_images import AddImagesSpec
from store.job_kinds.train_generator import TrainGeneratorSpec
from store.jobs.cancel import cancel_job
from store.jobs.claims import Claim, claim, save_checkpoint
from store.jobs.events import events
from store.jobs.submit import rehearse, submit_request
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.resources.files import get_file, list_files
from store.resources.generators import TRAINED, Generator, delete_generator, get_generator
from store.resources.quality_reports import report_file
from store.settings import Settings, WorkerSettings
from tests.e2e import tiny
from tests.worker.inline import TENANT, InlineWorker, content, generate, upload, view
from tests.worker.servicekit import start_worker, wait_until

TINY: dict[str, Any] = {
    "batch": 4, "widths": [8, 8, 8, 8], "latent_width": 8, "mapping_layers": 2, "discriminator_mapping_layers": 2,
    "precision": "float32", "ema_kimg": 0.02, "points": 4, "probe_seconds": 0.0, "early_stop": 0.0,
}  # fmt: skip
UNPREPARED = {"perceptual": False, "encoder": False}
LICENCE = "CC BY 4.0. Spots by the tests, 2026."


def write_photographs(path: Path, count: int = 64, side: int = 16, grey: bool = False) -> None:
    """Spots of random colours at random places, as PNG files in a zip."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side] / side
    with zipfile.ZipFile(path, "w") as target:
        for number in range(count):
            x, y, size = random.uniform(0.2, 0.8, 3)
            spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (size * 0.25) ** 2))
            colour = np.full(3, random.uniform(50, 255)) if grey else random.uniform(50, 255, 3)
            buffer = io.BytesIO()
            Image.fromarray((spot[..., None] * colour).astype(np.uint8)).save(buffer, "PNG")
            target.writestr(f"photographs/{number:03}.png", buffer.getvalue())


class Service:
    """A database and objects of its own with an image set, and items of one training step each."""

    def __init__(self, home: Path, **worker: Any) -> None:
        generator = tiny.write_generator(home / "generators")
        tiny.write_labels(home / "labels.zip", generator)
        pace = {"shard_seconds": 1e-9, "backoff_seconds": 0.0, "device": "cpu", "threads": 1, "shard_images": 8}
        self.settings = Settings(
            home=home, generators_folder=str(home / "generators"), worker=WorkerSettings(**{**pace, **worker})
        )
        self.db: Database = open_database(self.settings)
        self.objects: ObjectStore = open_objects(self.settings)
        write_photographs(home / "photographs.zip")
        self.add_images(home / "photographs.zip", "spots")

    def add_images(self, archive: Path, name: str, side: int = 16, **settings: Any) -> Job:
        source = upload(self.db, self.objects, archive)
        spec = AddImagesSpec(source=source, name=name, height=side, width=side, licence=LICENCE, **settings)
        job = submit_request(self.db, spec, tenant=TENANT).job
        self.work()
        assert view(self.db, job).state == "succeeded", view(self.db, job).error
        return view(self.db, job)

    def train(self, name: str = "trained", **spec: Any) -> Job:
        asked = {"images": "spots", "kimg": 0.024, "seed": 5, "settings": TINY, "preparation": UNPREPARED} | spec
        return submit_request(self.db, TrainGeneratorSpec(name=name, **asked), tenant=TENANT).job

    def work(self, **arguments: Any) -> None:
        InlineWorker(self.db, self.objects, **arguments).run()

    def generator(self, name: str = "trained") -> Generator:
        return get_generator(self.db, name, tenant=TENANT)

    def weights(self, name: str = "trained") -> dict[str, torch.Tensor]:
        folder = self.settings.home / "loaded" / name
        folder.mkdir(parents=True)
        for file in ("generator.json", "generator.safetensors"):
            (folder / file).write_bytes(content(self.db, self.objects, self.generator(name).id, file))
        return dict(load_generator(folder).state())

    def names(self, job: Job) -> list[str]:
        return [event.name for event in events(self.db, job.id, tenant=TENANT)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.db.close()


def test_training_is_a_chain_whose_weights_do_not_depend_on_kills(service: Service) -> None:
    whole = service.train("whole")
    killed: list[int] = []
    worker = InlineWorker(service.db, service.objects)

    def kill(taken: Claim) -> None:
        """Lose the first attempt of three items before its commit."""
        if taken.job_id != whole.id and taken.attempt == 1 and taken.position in (1, 2, 4):
            killed.append(taken.position)
            worker.die_after.add(taken.step)

    worker.before = kill
    worker.run()
    again = service.train("again")
    worker.run()
    assert killed == [1, 2, 4]
    for job in (whole, again):
        assert view(service.db, job).state == "succeeded", view(service.db, job).error
    assert service.names(again).count("shard.committed") == 6 + 2, "an item a step, and those of the preparation"
    one, other = service.weights("whole"), service.weights("again")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_trained_generator_has_its_report_pictures_and_licence_and_can_be_used(service: Service) -> None:
    job = service.train(settings=TINY | {"progressive": True}, domain="spots")
    service.work()
    made = service.generator()
    assert view(service.db, job).result.generator == made.id
    assert (made.state, made.height, made.width, made.licence) == ("ready", 16, 16, LICENCE)
    names = [file.name for file in list_files(service.db, made.id, tenant=TENANT)]
    assert names == [
        "curves.png", "discriminator.safetensors", "generator.json", "generator.safetensors", "preview.png",
        *(report_file(job.id, f"report.{kind}") for kind in ("html", "json", "png")), "samples.png", "training.json",
        "training_images/0.npz",
    ]  # fmt: skip
    report = json.loads(content(service.db, service.objects, made.id, "training.json"))
    assert (report["preset"], report["seed"], report["images_seen"]) == ("small", 5, 24)
    assert report["image_set"]["licence"] == LICENCE
    assert report["image_set"]["digest"]
    assert report["quality"].keys() >= {"fid", "recall", "memorised", "memorization", "copies"}
    quality = json.loads(content(service.db, service.objects, made.id, report_file(job.id, "report.json")))
    assert quality["scores"][0]["fid"] == report["quality"]["fid"]
    assert quality["generator"]["digest"] == made.digest
    assert {"frechet", "recall", "generator_loss"} <= report["curves"][-1].keys()
    assert made.info[TRAINED]["ended"] == "the budget is spent"
    for picture in ("curves.png", "samples.png", "preview.png"):
        assert Image.open(io.BytesIO(content(service.db, service.objects, made.id, picture))).format == "PNG"
    assert "generator.training_estimated" in service.names(job)
    prepared = {"perceptual_steps": 2, "encoder_steps": 2}
    more = service.train("further", generator="trained", kimg=0.008, preparation=prepared)
    service.work()
    further = service.generator("further")
    assert view(service.db, more).state == "succeeded", view(service.db, more).error
    assert further.info[TRAINED]["begun_with"] == "trained"
    report = json.loads(content(service.db, service.objects, further.id, "training.json"))
    assert report["new_weights"] == []
    assert further.info["prepared"].keys() == {"perceptual", "encoder"}


@pytest.mark.slow
def test_generate_job_posted_in_mid_training_starts_within_one_item(service: Service) -> None:
    labels = upload(service.db, service.objects, service.settings.home / "labels.zip")
    training = service.train()
    order: list[tuple[str, int]] = []

    def post(taken: Claim) -> None:
        order.append((taken.kind, taken.position))
        if taken.job_id == training.id and taken.position == 2:
            generate(service.db, labels, count=2)

    service.work(before=post)
    begun = order.index(("train_generator", 2))
    kinds = [kind for kind, _ in order[begun + 1 :]]
    assert kinds[0] == "generate"
    assert "train_generator" not in kinds[: kinds.count("generate")], "the training waits for the whole job"
    assert view(service.db, training).state == "succeeded"


def test_canceled_training_keeps_the_best_generator_so_far(service: Service) -> None:
    job = service.train(settings=TINY | {"points": 6})
    service.train("second")
    seen: list[str] = []

    def cancel(taken: Claim) -> None:
        if taken.job_id == job.id and taken.position == 4:
            seen.append(service.generator().state)
            found = problems(service, name="third", generator="trained")
            assert found["/generator"] == "the generator 'trained' is not ready"
            cancel_job(service.db, job.id, tenant=TENANT)

    service.work(before=cancel)
    assert seen == ["training"]
    ended = view(service.db, job)
    assert ended.state == "canceled"
    made = service.generator()
    assert (made.state, made.id) == ("ready", ended.result.generator)
    assert made.info[TRAINED]["images_seen"] == 16
    assert made.info[TRAINED]["ended"] == ""
    assert service.weights()
    delete_generator(service.db, service.objects, "trained", tenant=TENANT)


@pytest.mark.slow
def test_state_of_another_release_fails_the_job_and_is_kept(service: Service) -> None:
    job = service.train(settings=TINY | {"points": 6})

    def replace_state(taken: Claim) -> None:
        if taken.position == 3 and taken.attempt == 1:
            old = get_file(service.db, taken.shard_id, "checkpoint", tenant=TENANT)
            key = "work/other"
            data = b"".join(service.objects.read(old.key))
            wrong = data.replace(b"offhand-StyleGAN2-training/2", b"offhand-StyleGAN2-training/9")
            assert wrong != data
            stored = service.objects.put(key, wrong)
            save_checkpoint(
                service.db,
                taken,
                type(old)(old.resource_id, old.name, key, stored.bytes, stored.sha256, old.media_type),
            )

    service.work(before=replace_state)
    ended = view(service.db, job)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.code == "other_release"
    assert "another release" in ended.error.detail
    assert ended.error.retryable
    assert service.generator().state == "ready", "the best so far"


def problems(service: Service, **spec: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        service.train(**spec)
    return {problem.pointer: problem.detail for problem in caught.value.problems}


def test_every_problem_of_a_request_is_named_at_once(service: Service) -> None:
    found = problems(
        service,
        name="tiny",
        images="nothing",
        hours=1.0,
        preset="cifar",
        generator="unknown",
        settings={"batch": 1, "colour": 3, "kimg": 5, "twins_weight": 0.1},
    )
    assert found.keys() == {
        "/name", "/images", "/hours", "/preset", "/generator", "/settings/batch", "/settings/colour", "/settings/kimg",
        "/settings/noise_std", "/settings/stddev_group",
    } - {"/settings/stddev_group"}  # fmt: skip
    assert "known: spots" in found["/images"]
    assert "cifar10-lt" in found["/preset"]


def test_images_that_do_not_fit_the_settings_are_refused(service: Service) -> None:
    assert "noise is added to class embeddings" in problems(service, settings={"noise_std": 0.5})["/settings/noise_std"]
    few = service.settings.home / "few.zip"
    write_photographs(few, count=6, side=20)
    service.add_images(few, "few", side=20, flips=False)
    found = problems(service, images="few", settings={"flip": True})
    assert "expected at least 16 images for training, found" in found["/images"] or "held-out" in found["/images"]
    assert found["/settings/flip"] == "expected false: this image set is not to be mirrored"
    found = problems(service, images="few", generator="tiny")
    assert "expected images of 16x16 or that times a power of two, found 20x20" in found["/images"]


def test_estimate_of_a_budget_in_hours_is_that_time_and_the_preparation(service: Service) -> None:
    spec = TrainGeneratorSpec(name="new", images="spots", hours=2)
    found = rehearse(service.db, spec, tenant=TENANT)
    assert found.seconds is not None
    assert 7200 < found.seconds < 10800
    assert found.rough
    assert rehearse(service.db, TrainGeneratorSpec(name="new", images="spots", kimg=9), tenant=TENANT).seconds is None


def test_two_jobs_cannot_train_generators_of_one_name(service: Service) -> None:
    job = service.train()
    assert problems(service)["/name"] == f"{job.id} is training a generator 'trained'"
    cancel_job(service.db, job.id, tenant=TENANT)
    assert claim(service.db, "another-worker") is None


@pytest.mark.slow
def test_workers_that_are_killed_leave_the_weights_of_an_undisturbed_training(tmp_path: Path) -> None:
    """SIGKILL to a supervisor before its commit, to a child that has stored objects, and to a whole worker."""
    pace = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5, "poll_seconds": 0.1, "reap_seconds": 0.5}
    service = Service(tmp_path, **pace)
    service.train("whole")
    service.work()
    job, workers = service.train("killed"), list[Any]()
    died = tmp_path / "died"
    try:
        workers.append(start_worker(service.settings, crash="supervisor.before_commit", steps="worker.steps"))
        assert workers[0].wait(180) == -signal.SIGKILL
        workers.append(start_worker(service.settings, crash=f"child.after_put:{died}", steps="worker.steps"))
        wait_until(died.exists, 180)
        workers[1].kill()
        workers.append(start_worker(service.settings, steps="worker.steps"))
        wait_until(lambda: view(service.db, job).terminal, 300)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert view(service.db, job).state == "succeeded", view(service.db, job).error
    one, other = service.weights("whole"), service.weights("killed")
    assert all(torch.equal(one[name], other[name]) for name in one)
    service.db.close()
