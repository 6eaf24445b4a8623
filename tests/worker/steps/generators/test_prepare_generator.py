"""A generator without a perceptual network and encoder gets both from its own samples, and jobs use them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.generators.files import load_generator
from core.inversion.encoder import load_encoder
from core.inversion.perceptual.domain import load_perceptual
from core.training.images import PackedImages, SourceImage, pack_images
from store.database.database import Database, open_database
from store.errors import InvalidRequest, NotFound
from store.job_kinds.generate import GenerateSpec
from store.job_kinds.prepare_generator import PrepareGeneratorSpec
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.requests.preparation import Preparation
from store.resources.artifacts import get_encoder
from store.resources.files import File, add_files, list_files
from store.resources.generators import PREPARED, NewGenerator, add_generator, get_generator
from store.resources.image_sets import PACKED, NewImageSet, add_image_set
from store.settings import Settings, WorkerSettings
from tests.e2e import tiny
from tests.worker.inline import TENANT, InlineWorker, content, upload, view

QUICK = Preparation(perceptual_steps=6, encoder_steps=5)


class Service:
    """A database and objects with the generator `own`, which has no perceptual network."""

    def __init__(self, home: Path, **worker: Any) -> None:
        self.home = home
        pace = WorkerSettings(shard_images=8, batch=4, backoff_seconds=0.0, device="cpu", threads=1, **worker)
        self.settings = Settings(home=home, generators_folder=str(home / "none"), worker=pace)
        self.db: Database = open_database(self.settings)
        self.objects: ObjectStore = open_objects(self.settings)
        self.network = tiny.write_generator(home / "shipped")
        folder = home / "shipped" / tiny.NAME
        info = load_generator(folder).info
        description = json.loads((folder / "generator.json").read_text())
        new = NewGenerator("gen_own", "own", info.digest, *tiny.SIZE, "CC0-1.0", description)
        files = []
        for name in ("generator.json", "generator.safetensors"):
            stored = self.objects.put(f"given/{name}", (folder / name).read_bytes())
            files.append(File(new.id, name, f"given/{name}", stored.bytes, stored.sha256, "application/octet-stream"))
        with self.db.write() as connection:
            add_generator(connection, TENANT, new)
            add_files(connection, TENANT, files)

    def prepare(self, preparation: Preparation = QUICK, worker: InlineWorker | None = None) -> Job:
        """The job at its end."""
        spec = PrepareGeneratorSpec(generator="own", preparation=preparation)
        job = submit_request(self.db, spec, tenant=TENANT).job
        (worker or InlineWorker(self.db, self.objects)).run()
        return view(self.db, job)

    def files(self, resource_id: str = "gen_own") -> dict[str, str]:
        """SHA-256 of a resource's files, by name."""
        return {file.name: file.sha256 for file in list_files(self.db, resource_id, tenant=TENANT)}

    def unpack(self, into: Path) -> Path:
        into.mkdir()
        for name in self.files():
            (into / name).write_bytes(content(self.db, self.objects, "gen_own", name))
        return into


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.db.close()


def test_prepared_generator_has_perceptual_network_and_encoder_that_jobs_use(service: Service, tmp_path: Path) -> None:
    job = service.prepare()
    assert job.state == "succeeded", job.error
    assert job.result.generator == "gen_own"
    folder = service.unpack(tmp_path / "unpacked")
    perceptual, encoder = load_perceptual(folder), load_encoder(folder)
    assert perceptual.name == "own-domain-v1"
    assert encoder is not None
    assert encoder.config.rows == service.network.config.num_ws
    made = get_encoder(service.db, job.result.encoder, tenant=TENANT)
    assert made.info["perceptual_name"] == "own-domain-v1", "the encoder learns with the new network"
    prepared = get_generator(service.db, "own", tenant=TENANT).info[PREPARED]
    assert prepared["perceptual"]["steps"] == 6
    assert prepared["encoder"] == {"id": made.id, "train_on": "samples", "heads": "e4e", "steps": 5}
    tiny.write_labels(tmp_path / "labels.zip", service.network)
    labels = upload(service.db, service.objects, tmp_path / "labels.zip")
    spec = GenerateSpec.model_validate(
        {"labels": labels, "generator": "own", "count": 4, "inversion": {"steps": 4}, "labeler": {"members": 1}}
        | {"force": True, "seed": 1}
    )
    generated = submit_request(service.db, spec, tenant=TENANT).job
    InlineWorker(service.db, service.objects).run()
    ended = view(service.db, generated)
    assert ended.state == "succeeded", ended.error
    report = json.loads(content(service.db, service.objects, ended.result.inversion, "report.json"))
    assert report["perceptual_name"] == "own-domain-v1"
    assert all(row["start"] == "encoder" for row in report["per_image"])


def test_trained_parts_are_used_again_and_other_settings_replace_them(service: Service) -> None:
    first = service.prepare()
    before, stored = service.files(), {found.key for found in service.objects.list()}
    again = service.prepare()
    assert again.result.encoder == first.result.encoder
    names = [event.name for event in events(service.db, again.id, tenant=TENANT)]
    assert {"perceptual.reused", "encoder.reused"} <= set(names)
    assert service.files() == before
    other = service.prepare(Preparation(perceptual_steps=7, encoder_steps=5))
    assert other.state == "succeeded", other.error
    after = service.files()
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in ("perceptual.safetensors", "encoder.safetensors"))
    kept = {file.key for one in ("gen_own", first.result.encoder) for file in
            list_files(service.db, one, tenant=TENANT)}  # fmt: skip
    left = {key for key in stored if key.startswith("work/")} - kept
    assert not left & {found.key for found in service.objects.list()}, "replaced objects are deleted"


def test_preparation_in_short_items_with_lost_attempts_ends_at_the_same_weights(tmp_path: Path) -> None:
    whole, cut = Service(tmp_path / "whole"), Service(tmp_path / "cut", shard_seconds=1e-9)
    assert whole.prepare().state == "succeeded"
    ended = cut.prepare(worker=InlineWorker(cut.db, cut.objects, die_after={"prepare_perceptual", "prepare_encoder"}))
    assert ended.state == "succeeded", ended.error
    assert [(step.name, step.done) for step in ended.steps] == [("prepare_perceptual", 6), ("prepare_encoder", 5)]
    assert cut.files() == whole.files()
    for one in (whole, cut):
        one.db.close()


def test_one_part_alone_is_trained(service: Service) -> None:
    job = service.prepare(Preparation(encoder=False, perceptual_steps=3))
    assert job.state == "succeeded", job.error
    assert "encoder" not in job.result
    assert {"perceptual.json", "perceptual.safetensors"} <= service.files().keys()
    assert "encoder.json" not in service.files()
    job = service.prepare(Preparation(perceptual=False, encoder_steps=3))
    assert job.state == "succeeded", job.error
    assert "encoder.json" in service.files()


def add_image_set_to(service: Service, size: tuple[int, int], name: str) -> None:
    """Grey photographs of (height, width) as the image set `name`."""
    random = np.random.default_rng(0)
    photographs = []
    for index in range(12):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, size, np.uint8)).save(buffer, "PNG")
        photographs.append(SourceImage(f"{index}.png", buffer.getvalue()))
    path = service.home / "images.packed"
    pack_images(photographs, path, size, held_out=2)
    stored = service.objects.put(f"given/{name}", path.read_bytes())
    facts = {"channels": 1, "classes": {}, "held_out": 2, "fit": "crop", "flips": True, "warnings": []}
    new = NewImageSet(f"ims_{name}", name, PackedImages(path).digest, 12, *size, "", facts)
    file = File(new.id, PACKED, f"given/{name}", stored.bytes, stored.sha256, "application/octet-stream")
    with service.db.write() as connection:
        add_image_set(connection, TENANT, new)
        add_files(connection, TENANT, [file])


def test_image_set_is_learnt_from_beside_the_samples(service: Service) -> None:
    add_image_set_to(service, (16, 16), "photographs")
    add_image_set_to(service, (16, 8), "upright")
    with_images = QUICK.model_copy(update={"images": "photographs"})
    job = service.prepare(with_images)
    assert job.state == "succeeded", job.error
    info = get_generator(service.db, "own", tenant=TENANT).info[PREPARED]
    assert info["encoder"]["train_on"] == "both"
    before = service.files()
    assert service.prepare(QUICK).state == "succeeded"
    assert service.files()["perceptual.safetensors"] != before["perceptual.safetensors"]
    for name, words in (("none", "known: photographs, upright"), ("upright", "found 16×8")):
        spec = PrepareGeneratorSpec(generator="own", preparation=QUICK.model_copy(update={"images": name}))
        with pytest.raises(InvalidRequest) as caught:
            submit_request(service.db, spec, tenant=TENANT)
        ((pointer, detail),) = [(one.pointer, one.detail) for one in caught.value.problems]
        assert (pointer, words in detail) == ("/preparation/images", True), detail


def test_requests_that_cannot_be_met_are_refused(service: Service, tmp_path: Path) -> None:
    def refused(**spec: Any) -> list[tuple[str, str]]:
        with pytest.raises(InvalidRequest) as caught:
            submit_request(service.db, PrepareGeneratorSpec(**spec), tenant=TENANT)
        return [(one.pointer, one.detail) for one in caught.value.problems]

    ((pointer, detail),) = refused(generator="none")
    assert (pointer, "no generator 'none'" in detail) == ("/generator", True)
    ((pointer, _),) = refused(generator="own", preparation=Preparation(perceptual=False, encoder=False))[:1]
    assert pointer == "/preparation"
    found = refused(generator="own", preparation=Preparation(perceptual=False))
    assert "LPIPS needs images of 32 pixels" in found[0][1], "an encoder alone has nothing to compare images with"
    with service.db.write() as connection:
        other = get_generator(service.db, "own", tenant=TENANT).info | {"labelled_by": ["samples"]}
        add_generator(connection, TENANT, NewGenerator("gen_2", "drawn", "d" * 64, 16, 16, "", other))
    ((_, detail),) = refused(generator="drawn")
    assert "cannot invert photographs" in detail
    with pytest.raises(NotFound):
        get_generator(service.db, "own", tenant="another")


def test_generator_of_the_service_is_refused(tmp_path: Path) -> None:
    tiny.write_generator(tmp_path / "shipped")
    db = open_database(Settings(home=tmp_path, generators_folder=str(tmp_path / "shipped")))
    with pytest.raises(InvalidRequest) as caught:
        submit_request(db, PrepareGeneratorSpec(generator=tiny.NAME), tenant=TENANT)
    assert "comes with the service" in caught.value.problems[0].detail
    db.close()
