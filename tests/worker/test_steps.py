"""The steps with a tiny generator: what comes out, that it repeats to the byte, and what bad input is told."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from core.datasets.shards import read_shard
from core.datasets.training_script import TRAINING_SCRIPT
from store.database.database import Database
from store.errors import NotReady
from store.job_kinds.export import ExportFormat, ExportSpec
from store.jobs.cancel import cancel_job
from store.jobs.claims import claim
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.resources.artifacts import LABEL_PREVIEW, get_inversion, get_label_set, get_labeler
from store.resources.datasets import CARD, CONTACT_SHEET, CROISSANT, MANIFEST, get_dataset, partial_manifest
from store.resources.exports import get_export, list_exports
from store.resources.files import list_files
from store.sweep import sweep
from store.tables import files
from tests.worker.inline import TENANT, InlineWorker, Service, content, generate, shard_digests, upload, view
from worker.runtime.step_context import StepContext


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[tuple[Service, Job]]:
    """An undisturbed job that has succeeded."""
    made = Service(tmp_path_factory.mktemp("finished"), material)
    job = generate(made.db, made.labels)
    made.work()
    ended = view(made.db, job)
    assert ended.state == "succeeded", ended.error
    yield made, ended
    made.db.close()


def test_the_dataset_holds_what_was_asked_for(finished: tuple[Service, Job]) -> None:
    service, job = finished
    assert (job.counts.done, job.counts.rejected, job.counts.total) == (20, 3, 23)
    dataset = get_dataset(service.db, job.result.dataset, tenant=TENANT)
    assert dataset.state == "ready"
    manifest = json.loads(content(service.db, service.objects, dataset.id, MANIFEST))
    assert (manifest["complete"], manifest["count"]) == (True, 20)
    stored = {file.name: file for file in list_files(service.db, dataset.id, tenant=TENANT)}
    for row in [*manifest["shards"], *manifest["files"]]:
        assert (stored[row["path"]].bytes, stored[row["path"]].sha256) == (row["bytes"], row["sha256"])
    assert set(stored) == {row["path"] for row in [*manifest["shards"], *manifest["files"]]} | {MANIFEST}
    assert Image.open(io.BytesIO(content(service.db, service.objects, dataset.id, CONTACT_SHEET))).format == "PNG"
    assert b"20 generated images" in content(service.db, service.objects, dataset.id, CARD)
    assert dataset.info["next_offset"] == 23
    assert list_files(service.db, job.id, tenant=TENANT) == [], "candidates are gone"


def test_the_most_certain_candidates_were_kept(finished: tuple[Service, Job]) -> None:
    service, job = finished
    shard = content(service.db, service.objects, job.result.dataset, "shards/shard-000000.tar")
    kept = {one.index: one.record()["uncertainty"] for one in read_shard(io.BytesIO(shard))}
    assert len(kept) == 20
    everything = Service(service.settings.home / "all", Path(service.settings.generators_folder).parent)
    all_of_them = generate(everything.db, everything.labels, count=23, drop_fraction=0.0)
    everything.work()
    whole = content(
        everything.db, everything.objects, view(everything.db, all_of_them).result.dataset, "shards/shard-000000.tar"
    )
    scores = {one.index: one.record()["uncertainty"] for one in read_shard(io.BytesIO(whole))}
    everything.db.close()
    assert sorted(kept.values()) == sorted(scores.values())[:20]


def test_reports_and_pictures_are_kept(finished: tuple[Service, Job]) -> None:
    service, job = finished
    preview = content(service.db, service.objects, job.result.label_set, LABEL_PREVIEW)
    assert Image.open(io.BytesIO(preview)).format == "PNG"
    inversion = get_inversion(service.db, job.result.inversion, tenant=TENANT)
    assert inversion.info["images"] == len(inversion.info["per_image"]) == 6
    pictures = [f for f in list_files(service.db, inversion.id, tenant=TENANT) if f.media_type == "image/png"]
    assert len(pictures) == 7
    labeler = get_labeler(service.db, job.result.labeler, tenant=TENANT)
    assert labeler.info["held_out"]["images"]
    assert labeler.parents["inversion_id"] == inversion.id
    log = events(service.db, job.id, tenant=TENANT)
    (point, *_) = [event.data for event in log if event.name == "step.measured"]
    assert (point["step"], set(point["figures"])) == ("train_labeler", {"step", "loss", "accuracy"})
    label_set = get_label_set(service.db, job.result.label_set, tenant=TENANT)
    assert (label_set.info["images"], len(label_set.info["classes"])) == (6, 2)


def test_equal_runs_write_equal_files_but_for_the_id_in_the_manifest(
    finished: tuple[Service, Job], service: Service
) -> None:
    same = generate(service.db, service.labels)
    service.work()
    runs = [_of(finished), (service.db, view(service.db, same))]
    made = []
    for (db, job), objects in zip(runs, (finished[0].objects, service.objects), strict=True):
        dataset = job.result.dataset
        names = [file.name for file in list_files(db, dataset, tenant=TENANT)]
        files = {name: content(db, objects, dataset, name) for name in names}
        files[MANIFEST] = files[MANIFEST].replace(dataset.encode(), b"ds_")
        preview = content(db, objects, job.result.label_set, LABEL_PREVIEW)
        made.append({**files, "preview": preview})
    assert made[0].keys() == made[1].keys() >= {CARD, CROISSANT, CONTACT_SHEET, MANIFEST, TRAINING_SCRIPT}
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []


def test_warnings_and_quality_stand_in_the_job_and_the_dataset(finished: tuple[Service, Job]) -> None:
    service, job = finished
    info = get_dataset(service.db, job.result.dataset, tenant=TENANT).info
    assert list(job.result.warnings) == info["warnings"]
    assert any("Only 6 labelled images" in words for words in info["warnings"])
    quality = job.result.quality
    assert quality is not None
    assert quality.held_out is not None
    inversion = get_inversion(service.db, job.result.inversion, tenant=TENANT)
    assert quality.reconstruction.median_psnr == inversion.info["median_psnr"]
    labeler = get_labeler(service.db, job.result.labeler, tenant=TENANT)
    assert quality.held_out.mean_iou == labeler.info["held_out"]["mean_iou"]
    assert quality.held_out.images == len(labeler.info["held_out"]["images"])
    assert set(labeler.info["held_out"]["iou"]) <= {"0", "1"}
    assert info["dropped"] == {"uncertain": 3, "composition": 0}


@pytest.mark.parametrize("worker", [{"shard_images": 4}, {"shard_images": 1000}])
def test_the_cut_into_shards_does_not_show(
    finished: tuple[Service, Job], material: Path, tmp_path: Path, worker: dict[str, Any]
) -> None:
    other = Service(tmp_path, material, **worker)
    job = generate(other.db, other.labels)
    other.work()
    assert shard_digests(other.db, job) == shard_digests(*_of(finished))
    other.db.close()


def test_attempts_that_died_do_not_show(finished: tuple[Service, Job], service: Service) -> None:
    job = generate(service.db, service.labels)
    service.work(die_after={"validate", "invert", "train_labeler", "sample", "finalize"})
    assert view(service.db, job).state == "succeeded"
    assert view(service.db, job).attempts == 2
    assert shard_digests(service.db, job) == shard_digests(*_of(finished))


def test_training_goes_on_from_its_checkpoint(
    finished: tuple[Service, Job], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By its module: in the package, the name is the function.
    monkeypatch.setattr(import_module("worker.steps.labeler.train_labeler"), "CHECKPOINT_EVERY", 2)
    resumed: list[bool] = []
    load = StepContext.load_checkpoint

    def noticed(context: StepContext) -> bytes | None:
        kept = load(context)
        if context.claim.step == "train_labeler":
            resumed.append(kept is not None)
        return kept

    monkeypatch.setattr(StepContext, "load_checkpoint", noticed)
    job = generate(service.db, service.labels)
    worker = InlineWorker(service.db, service.objects)
    worker.stop_at = ("train_labeler", 3)
    worker.run()
    assert view(service.db, job).state == "succeeded"
    assert resumed == [False, True]
    assert shard_digests(service.db, job) == shard_digests(*_of(finished))
    assert not [f for f in service.objects.list() if "checkpoint" in f.key and f.key not in _known(service)]


def test_what_another_release_kept_costs_time_and_not_the_job(
    finished: tuple[Service, Job], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepContext, "load_checkpoint", lambda context: b"in another form")
    job = generate(service.db, service.labels)
    service.work()
    assert (view(service.db, job).state, view(service.db, job).attempts) == ("succeeded", 1)
    assert shard_digests(service.db, job) == shard_digests(*_of(finished))


def test_equal_work_is_not_done_twice(finished: tuple[Service, Job]) -> None:
    service, first = finished
    again = generate(service.db, first.result.label_set)
    service.work()
    second = view(service.db, again)
    names = {event.name for event in events(service.db, again.id, tenant=TENANT)}
    assert {"label_set.reused", "inversion.reused", "labeler.reused"} <= names
    for made in ("label_set", "inversion", "labeler"):
        assert first.result.ids[made] == second.result.ids[made]
    assert shard_digests(service.db, again) == shard_digests(service.db, first)
    other = generate(service.db, service.labels, labeler={"members": 3})
    service.work()
    result = view(service.db, other).result
    assert result.labeler != first.result.labeler
    assert result.inversion == first.result.inversion


def test_offset_continues_the_stream(service: Service) -> None:
    whole = generate(service.db, service.labels, count=12, drop_fraction=0.0, images_per_shard=6)
    tail = generate(service.db, service.labels, count=6, offset=6, drop_fraction=0.0, images_per_shard=6)
    service.work()
    assert shard_digests(service.db, tail)[0][1] == shard_digests(service.db, whole)[1][1]


def test_a_canceled_job_leaves_what_was_finished(service: Service) -> None:
    job = generate(service.db, service.labels)
    worker = InlineWorker(service.db, service.objects)
    while not list_files(service.db, job.id, tenant=TENANT):
        taken = claim(service.db, "inline")
        assert taken is not None
        folder = service.settings.home / taken.shard_id
        folder.mkdir()
        worker._do(taken, folder)
    assert cancel_job(service.db, job.id, tenant=TENANT).job.state == "canceled"
    dataset = get_dataset(service.db, job.result.dataset, tenant=TENANT)
    assert dataset.state == "partial"
    manifest = partial_manifest(service.db, dataset.id, tenant=TENANT)
    assert (manifest["complete"], manifest["count"]) == (False, 8)
    shard = content(service.db, service.objects, job.id, manifest["shards"][0]["path"])
    assert len(list(read_shard(io.BytesIO(shard)))) == 8


def test_expired_data_is_swept(service: Service) -> None:
    service.settings.limits.retention_days = 1e-9
    job = generate(service.db, service.labels, count=4)
    service.work()
    dataset = view(service.db, job).result.dataset
    assert list_files(service.db, dataset, tenant=TENANT)
    before = len(list(service.objects.list()))
    assert sweep(service.db, service.objects) > 0
    assert list_files(service.db, dataset, tenant=TENANT) == []
    assert 0 < len(list(service.objects.list())) < before, "the labeler stays, it serves other jobs"


def test_every_problem_of_an_archive_is_told(service: Service, tmp_path: Path) -> None:
    archive = tmp_path / "my labels.zip"
    with zipfile.ZipFile(archive, "w") as bad:
        bad.writestr("classes.json", json.dumps(["background", "hair"]))
        for name in ("a", "b"):
            bad.writestr(f"images/{name}.png", _png(np.zeros((8, 8, 3), np.uint8)))
        bad.writestr("masks/a.png", _png(np.full((8, 8), 9, np.uint8)))
    job = generate(service.db, upload(service.db, service.objects, archive))
    service.work()
    ended = view(service.db, job)
    assert (ended.state, ended.attempts) == ("failed", 1)
    assert ended.error is not None
    assert ended.error.code == "bad_label_set"
    assert {problem.pointer for problem in ended.error.problems} >= {"images/b.png", "masks/a.png"}


def test_images_of_another_shape_are_brought_to_the_generators(service: Service, tmp_path: Path) -> None:
    archive = tmp_path / "wide.zip"
    random = np.random.default_rng(0)
    with zipfile.ZipFile(archive, "w") as wide:
        wide.writestr("classes.json", json.dumps(["road", "sky"]))
        for name in "abc":
            wide.writestr(f"images/{name}.png", _png(random.integers(0, 255, (30, 50, 3), np.uint8)))
            wide.writestr(f"masks/{name}.png", _png(np.indices((30, 50))[0].astype(np.uint8) // 15))
    job = generate(service.db, upload(service.db, service.objects, archive), count=4, fit="pad")
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    card = content(service.db, service.objects, ended.result.dataset, CARD).decode()
    assert "cannot redraw the labelled images" in card


def _known(service: Service) -> set[str]:
    with service.db.read() as connection:
        return set(connection.execute(select(files.c.key)).scalars())


def _of(finished: tuple[Service, Job]) -> tuple[Database, Job]:
    return finished[0].db, finished[1]


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_finished_dataset_is_exported_once(finished: tuple[Service, Job]) -> None:
    service, job = finished
    dataset = job.result.dataset
    spec = ExportSpec(dataset=dataset, format="coco")
    asked = submit_request(service.db, spec, tenant=TENANT).job
    assert submit_request(service.db, spec, tenant=TENANT).job.id == asked.id, "one job while it is on its way"
    with pytest.raises(NotReady, match="POST /v1/datasets"):
        get_export(service.db, dataset, "coco", tenant=TENANT)
    service.work()
    ended = view(service.db, asked)
    assert (ended.state, ended.counts.done, ended.counts.total) == ("succeeded", 20, 20), ended.error
    assert ended.result.ids == {"dataset": dataset}
    assert submit_request(service.db, spec, tenant=TENANT).job.id == asked.id, "and when it is there"
    (export,) = list_exports(service.db, dataset, tenant=TENANT)
    file = get_export(service.db, dataset, "coco", tenant=TENANT)
    assert (export.format, export.state, export.file) == ("coco", "succeeded", file)
    assert file.items == 20
    with zipfile.ZipFile(io.BytesIO(b"".join(service.objects.read(file.key)))) as archive:
        rows = json.loads(archive.read("annotations/instances_train.json"))
        assert json.loads(archive.read("offhand/manifest.json"))["dataset"] == dataset
        card = archive.read("README.md").decode()
    shard = content(service.db, service.objects, dataset, "shards/shard-000000.tar")
    assert [row["id"] for row in rows["images"]] == [one.index + 1 for one in read_shard(io.BytesIO(shard))]
    assert card.startswith("---\n")
    assert "data_files" not in card
    assert "shards/" not in card
    assert card.rstrip().endswith("(`sha256sum -c SHA256SUMS`).")


@pytest.mark.parametrize("format", get_args(ExportFormat))
def test_every_format_is_made_by_the_worker(finished: tuple[Service, Job], format: ExportFormat) -> None:
    service, job = finished
    spec = ExportSpec(dataset=job.result.dataset, format=format)
    asked = submit_request(service.db, spec, tenant=TENANT).job
    service.work()
    assert view(service.db, asked).state == "succeeded", view(service.db, asked).error
    file = get_export(service.db, job.result.dataset, format, tenant=TENANT)
    with zipfile.ZipFile(io.BytesIO(b"".join(service.objects.read(file.key)))) as archive:
        assert archive.testzip() is None
        assert sum(name.endswith(".png") for name in archive.namelist()) in (0, 20, 40)
        assert (TRAINING_SCRIPT in archive.namelist()) == (format == "masks")


def test_an_export_with_a_split_has_a_validation_part(finished: tuple[Service, Job]) -> None:
    service, job = finished
    spec = ExportSpec(dataset=job.result.dataset, format="hf", split=0.25, split_seed=7)
    asked = submit_request(service.db, spec, tenant=TENANT).job
    service.work()
    assert view(service.db, asked).state == "succeeded", view(service.db, asked).error
    file = get_export(service.db, job.result.dataset, "hf", 0.25, 7, tenant=TENANT)
    with zipfile.ZipFile(io.BytesIO(b"".join(service.objects.read(file.key)))) as archive:
        card = archive.read("README.md").decode()
        assert "data/validation-00000.parquet" in archive.namelist()
    assert '- split: validation\n    path: "data/validation-*.parquet"' in card
    assert "15 images are in the part `train`, 5 in `val`, drawn by seed 7." in card


def test_an_attempt_that_died_leaves_no_second_export(tmp_path: Path, material: Path) -> None:
    service = Service(tmp_path, material)
    job = generate(service.db, service.labels)
    service.work()
    dataset = view(service.db, job).result.dataset
    asked = submit_request(service.db, ExportSpec(dataset=dataset, format="masks"), tenant=TENANT).job
    service.work(die_after={"export"})
    assert view(service.db, asked).state == "succeeded"
    exports = list_files(service.db, dataset, tenant=TENANT, prefix="exports/")
    assert [file.name for file in exports] == ["exports/masks.zip"]
    service.db.close()
