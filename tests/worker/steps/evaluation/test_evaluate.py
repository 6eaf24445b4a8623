"""A dataset judged by held-out labels, through the real steps."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from core.datasets.shard_index import SampleRange, as_shard
from core.datasets.shards import ShardWriter
from core.errors import EvaluationError
from core.evaluation.arms import EvaluationData
from core.evaluation.downstream.images import ArrayImages, Shard, ShardImages
from core.evaluation.scoring import MaskScoring
from core.label_sets.classes import ClassMap
from core.sampling.stream import draw, draw_codes
from store.database.database import Database, open_database
from store.errors import InvalidRequest, NotReady
from store.job_kinds.evaluate import LEAST_GENERATED, LEAST_HELD_OUT, EvaluateSpec
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.jobs.views import Job, job_view
from store.objects import ObjectStore, open_objects
from store.resources.datasets import get_dataset
from store.resources.evaluations import REPORT_HTML, REPORT_JSON, get_evaluation, get_report, list_evaluations
from store.resources.files import File, list_files
from store.settings import Settings, WorkerSettings
from store.tables import files
from tests.e2e import tiny
from tests.worker.inline import TENANT, InlineWorker, generate, upload, view
from worker.steps.evaluation import regeneration
from worker.steps.evaluation.regeneration import Makers, dropped_samples
from worker.steps.generation.candidate_index import Drawn


class Service:
    """A finished dataset of the tiny generator, and labels that had no part in it."""

    def __init__(self, home: Path) -> None:
        generator = tiny.write_generator(home / "generators")
        tiny.write_labels(home / "both.zip", generator, count=14)
        halves(home / "both.zip", home / "labels.zip", home / "held_out.zip", first=6)
        with zipfile.ZipFile(home / "labels.zip") as archive:
            self.classes = archive.read("classes.json")
        self.settings = Settings(
            home=home,
            generators_folder=str(home / "generators"),
            worker=WorkerSettings(shard_images=8, batch=4, backoff_seconds=0.0, device="cpu", threads=1),
        )
        self.db: Database = open_database(self.settings)
        self.objects: ObjectStore = open_objects(self.settings)
        self.labels, self.held_out = (
            upload(self.db, self.objects, home / name) for name in ("labels.zip", "held_out.zip")
        )
        job = generate(self.db, self.labels)
        self.work()
        self.dataset = view(self.db, job).result.dataset

    def work(self) -> InlineWorker:
        worker = InlineWorker(self.db, self.objects)
        worker.run()
        return worker

    def evaluate(self, **settings: Any) -> Job:
        spec = {"dataset": self.dataset, "labels": self.held_out, "steps": 2, "repeats": 1, **settings}
        return submit_request(self.db, EvaluateSpec(**spec), tenant=TENANT).job

    @property
    def shards(self) -> list[File]:
        return list_files(self.db, self.dataset, tenant=TENANT, prefix="shards/")

    def replace(self, key: str, content: bytes) -> None:
        """Other bytes in place of a dataset's, with a digest that fits them."""
        self.objects.delete(key)
        stored = self.objects.put(key, content)
        with self.db.write() as connection:
            values = {"bytes": stored.bytes, "sha256": stored.sha256}
            connection.execute(update(files).where(files.c.key == key).values(**values))

    def report(self, job: Job, name: str) -> bytes:
        return b"".join(self.objects.read(get_report(self.db, job.id, name, tenant=TENANT).key))


def halves(archive: Path, one: Path, other: Path, first: int) -> None:
    with zipfile.ZipFile(archive) as source:
        for path, wanted in ((one, lambda n: n < first), (other, lambda n: n >= first)):
            with zipfile.ZipFile(path, "w") as target:
                for name in source.namelist():
                    if name == "classes.json" or wanted(int(Path(name).stem)):
                        target.writestr(name, source.read(name))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("evaluation"))
    yield made
    made.db.close()


def test_a_dataset_is_judged_and_drawn_again_exactly(service: Service) -> None:
    job = service.evaluate()
    with pytest.raises(NotReady):
        get_report(service.db, job.id, REPORT_HTML, tenant=TENANT)
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    document = json.loads(service.report(job, REPORT_JSON))
    gates = {gate["name"]: gate for gate in document["gates"]}
    assert gates["regeneration"]["state"] == "passed", gates["regeneration"]["words"]
    assert gates["regeneration"]["numbers"]["checked"] == 20
    assert gates["useful"]["state"] == "unknown", "one repeat of two steps proves nothing"
    assert document["verdict"] == "not shown"
    assert [arm["name"] for arm in document["arms"]][2:] == ["strong_augmentation"]
    counts = {"generated": 20, "looked_at": 20, "labelled": 6, "held_out": 8, "validation": 2, "test": 6}
    assert document["images"] == counts
    said = "'frozen_features' was not tried: no weights of a self-supervised backbone (dinov3.pth or dinov2.pth)."
    assert f"Baseline {said}" in document["warnings"]
    assert (document["dataset"], document["evaluation"]) == (service.dataset, job.id)
    page = service.report(job, REPORT_HTML).decode()
    assert page.startswith("<!doctype html>")
    assert "Not shown" in page
    told = [one for one in events(service.db, job.id, tenant=TENANT) if one.name == "dataset.evaluated"]
    assert told[0].data == {
        "dataset": service.dataset, "verdict": "not shown", "recommended": None, "failed": [],
    }  # fmt: skip
    found = get_evaluation(service.db, job.id, tenant=TENANT)
    assert (found.dataset, found.state, found.finished) == (service.dataset, "succeeded", True)
    listed = list_evaluations(service.db, tenant=TENANT, dataset=service.dataset).items
    assert [one.id for one in listed] == [job.id]


def test_images_that_made_the_dataset_cannot_judge_it(service: Service, tmp_path: Path) -> None:
    some = tmp_path / "some.zip"
    halves(service.settings.home / "both.zip", some, tmp_path / "others.zip", first=8)
    job = service.evaluate(labels=upload(service.db, service.objects, some))
    service.work()
    error = view(service.db, job).error
    assert error is not None
    assert error.code == "bad_evaluation"
    assert "6 images also made the dataset" in error.problems[0].detail


def test_copies_of_the_labelled_images_that_were_encoded_again_cannot_judge_it(
    service: Service, tmp_path: Path
) -> None:
    some = tmp_path / "some.zip"
    halves(service.settings.home / "both.zip", some, tmp_path / "others.zip", first=8)
    with zipfile.ZipFile(some) as source, zipfile.ZipFile(tmp_path / "again.zip", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.startswith(("images/", "masks/")):
                image, file = Image.open(io.BytesIO(content)), io.BytesIO()
                large = image.resize((4 * image.width, 4 * image.height), Image.Resampling.NEAREST)
                picture = name.startswith("images/")
                large.save(file, "JPEG" if picture else "PNG", quality=90)
                name, content = (f"images/{Path(name).stem}.jpg" if picture else name), file.getvalue()
            target.writestr(name, content)
    job = service.evaluate(labels=upload(service.db, service.objects, tmp_path / "again.zip"))
    service.work()
    error = view(service.db, job).error
    assert error is not None
    (problem,) = error.problems
    assert "6 images are copies, encoded or resized again, of images that made the dataset" in problem.detail


def test_labels_that_made_the_dataset_are_refused_when_the_evaluation_is_asked_for(
    service: Service, tmp_path: Path
) -> None:
    """The upload itself, its label set, the same file sent again, and the same images in another file that a job has
    read before.
    """
    again = upload(service.db, service.objects, service.settings.home / "labels.zip")
    repacked = tmp_path / "repacked.zip"
    halves(service.settings.home / "labels.zip", repacked, tmp_path / "none.zip", first=99)
    with zipfile.ZipFile(repacked, "a") as archive:
        archive.comment = b"packed again"
    other_file = upload(service.db, service.objects, repacked)
    generate(service.db, other_file)
    service.work()
    made_by = job_view(service.db, get_dataset(service.db, service.dataset, tenant=TENANT).job_id, tenant=TENANT)
    for labels in (service.labels, made_by.result.label_set, again, other_file):
        with pytest.raises(InvalidRequest) as refused:
            service.evaluate(labels=labels)
        (problem,) = refused.value.problems
        assert (problem.pointer, "are the labels that the dataset was made from" in problem.detail) == ("/labels", True)


def test_the_least_images_of_an_evaluation_are_those_of_the_library() -> None:
    few, enough = np.zeros((LEAST_HELD_OUT - 1, 4, 4, 3), np.uint8), np.zeros((LEAST_GENERATED, 4, 4, 3), np.uint8)
    arrays = [ArrayImages(images, np.zeros(images.shape[:3], np.uint8)) for images in (few, enough[:-1], enough)]
    with pytest.raises(EvaluationError) as refused:
        EvaluationData(
            MaskScoring(ClassMap({0: "a"})), ClassMap({0: "a"}), arrays[1], np.zeros(7), arrays[2], arrays[0]
        )
    told = {problem.pointer: problem.detail for problem in refused.value.problems}
    assert told == {
        "dataset": f"{LEAST_GENERATED - 1} images; at least {LEAST_GENERATED} are needed",
        "held_out": f"{LEAST_HELD_OUT - 1} images; at least {LEAST_HELD_OUT} are needed",
    }


def test_labels_on_generated_images_are_one_more_thing_to_beat(service: Service, tmp_path: Path) -> None:
    generated = ShardImages(
        [Shard(file.name, lambda key=file.key: service.objects.open(key)) for file in service.shards]
    )
    by_hand = tmp_path / "by_hand.zip"
    with zipfile.ZipFile(by_hand, "w") as archive:
        archive.writestr("classes.json", service.classes)
        for place in range(0, 16, 2):
            sample = generated.sample(place)
            archive.writestr(f"images/{sample.index:09d}.png", sample.file("image.png"))
            archive.writestr(f"masks/{sample.index:09d}.png", sample.file("mask.png"))
    labels = upload(service.db, service.objects, by_hand)
    job = service.evaluate(generated_labels=labels, baselines=["from_scratch"])
    service.work()
    document = json.loads(service.report(job, REPORT_JSON))
    names = [arm["name"] for arm in document["arms"]]
    assert names == [
        "generated", "generated, then fine-tuned", "strong_augmentation", "from_scratch", "labels on generated images",
    ]  # fmt: skip
    assert all(0 < arm["mean"] < 1 for arm in document["arms"])
    refused = service.evaluate(generated_labels=service.held_out, baselines=["from_scratch"])
    service.work()
    error = view(service.db, refused).error
    assert error is not None
    assert "is no image of the dataset: the name is its index there" in [one.detail for one in error.problems]


def test_shards_that_were_tampered_with_are_not_regenerated(service: Service, tmp_path: Path) -> None:
    """Labels that were shuffled after the labeler had made them are found out by drawing them again."""
    shards = service.shards
    samples = [ShardImages([Shard(file.name, lambda key=file.key: service.objects.open(key))]) for file in shards]
    masks = [one.sample(place).file("mask.png") for one in samples for place in range(len(one))]
    kept = {file.key: b"".join(service.objects.read(file.key)) for file in shards}
    try:
        for file, one in zip(shards, samples, strict=True):
            shuffled = io.BytesIO()
            writer = ShardWriter(shuffled)
            for place in range(len(one)):
                sample = one.sample(place)
                writer.write(sample.index, {**sample.files, "mask.png": masks.pop()})
            writer.finish()
            service.replace(file.key, shuffled.getvalue())
        job = service.evaluate(baselines=["from_scratch"])
        service.work()
        gates = {gate["name"]: gate for gate in json.loads(service.report(job, REPORT_JSON))["gates"]}
        assert gates["regeneration"]["state"] == "failed"
        assert gates["regeneration"]["numbers"]["images_differ"] == 0
        assert gates["regeneration"]["numbers"]["labels_differ"] > 0
    finally:
        for key, content in kept.items():
            service.replace(key, content)


def test_a_task_that_the_labels_lack_is_named(service: Service) -> None:
    job = service.evaluate(task="depth")
    service.work()
    error = view(service.db, job).error
    assert error is not None
    assert [one.detail for one in error.problems] == [
        "the dataset's labels have segmentation", "the labels that judge have segmentation",
    ]  # fmt: skip


def test_what_does_not_exist_is_named_at_once(service: Service) -> None:
    with pytest.raises(InvalidRequest) as caught:
        service.evaluate(dataset="ds_none", labels="upl_none", generated_labels="ls_none")
    assert [problem.pointer for problem in caught.value.problems] == ["/dataset", "/labels", "/generated_labels"]


def test_regeneration_draws_with_the_batch_that_the_dataset_was_drawn_with(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.settings.worker, "batch", 16)
    sizes: list[int] = []

    def noted(sampler: Any, labeler: Any, codes: Any, *more: Any) -> Any:
        sizes.append(len(codes))
        return draw_codes(sampler, labeler, codes, *more)

    monkeypatch.setattr(regeneration, "draw_codes", noted)
    job = service.evaluate(baselines=["from_scratch"])
    service.work()
    gates = {gate["name"]: gate for gate in json.loads(service.report(job, REPORT_JSON))["gates"]}
    assert gates["regeneration"]["state"] == "passed"
    assert set(sizes) == {4}


def test_a_dataset_too_large_for_this_machine_is_read_by_the_indices_of_its_shards(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.steps.evaluation.data.shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    ranges: list[int] = []

    def noted(content: bytes, sample: SampleRange, path: str) -> Any:
        ranges.append(sample.place)
        return as_shard(content, sample, path)

    monkeypatch.setattr("core.evaluation.downstream.images.as_shard", noted)
    monkeypatch.setattr("core.evaluation.downstream.images._indexed", lambda _: pytest.fail("read as a whole"))
    job = service.evaluate(baselines=["from_scratch"])
    service.work()
    assert view(service.db, job).state == "succeeded", view(service.db, job).error
    assert len(set(ranges)) == 20


def test_dropped_counts_what_the_filter_dropped_and_not_what_could_not_be_drawn(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of 23 candidates keeps 20; the dataset here lacks samples 8 to 15 as well, which were never drawn."""
    shards = [Shard(file.name, lambda key=file.key: service.objects.open(key)) for file in service.shards]
    generated = ShardImages(shards)
    there = [one for one in generated.indices() if one not in range(8, 16)]
    monkeypatch.setattr(generated, "indices", lambda: there)
    seen: list[Makers] = []
    load = import_module("worker.steps.evaluation.evaluate").load_makers
    monkeypatch.setattr(
        import_module("worker.steps.evaluation.evaluate"),
        "load_makers",
        lambda *given: seen.append(load(*given)) or seen[-1],
    )
    service.evaluate(baselines=["from_scratch"])
    service.work()
    drawn: list[int] = []

    def noted(sampler: Any, labeler: Any, config: Any, *more: Any) -> Any:
        drawn.extend(range(config.start, config.stop))
        return draw(sampler, labeler, config, *more)

    monkeypatch.setattr(regeneration, "draw", noted)
    partial = replace(seen[0], drawn=Drawn(((0, 8), (16, 23)), True, 4))
    dropped = dropped_samples(partial, generated, "segmentation")
    left_out = [one for one in (*range(8), *range(16, 23)) if one not in there]
    assert drawn == left_out
    assert left_out
    assert dropped is not None
    assert not set(range(8, 16)) & set(drawn)
