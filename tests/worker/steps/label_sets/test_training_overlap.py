"""Labelled images that trained the generator are named in the log, the inversion's report and the card."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.label_sets.resize import Fit
from core.training.image_index import write_index
from core.training.images import PackedImages, SourceImage, pack_images
from store.job_kinds.check_labels import CheckLabelsSpec
from store.jobs.claims import claim
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.resources.artifacts import get_inversion
from store.resources.datasets import get_dataset
from store.resources.files import add_files
from store.resources.generators import TRAINING_IMAGES, NewGenerator, add_generator
from store.resources.image_sets import INDEX, NewImageSet, add_image_set
from tests.core.training.test_images import encoded, picture
from tests.e2e import tiny
from tests.worker.inline import TENANT, InlineWorker, Service, content, generate, upload, view
from tests.worker.steps.generators import test_train_generator
from worker.steps.label_sets import training_overlap


def index_of(labels: Path, to: Path) -> Path:
    """Write the index of a training set that holds labelled image 01, re-encoded, and images of its own."""
    with zipfile.ZipFile(labels) as archive:
        copies = [SourceImage("train/copy.png", archive.read("images/01.png"))]
    others = [SourceImage(f"train/{number}.png", encoded(picture(number, 16, 16))) for number in range(4)]
    pack_images(copies + others, to.with_suffix(".packed"), tiny.SIZE, "pad", held_out=0)
    write_index(PackedImages(to.with_suffix(".packed")), to)
    return to


@pytest.fixture
def trained_here(material: Path, tmp_path: Path) -> Iterator[Service]:
    """A service whose generator has the index of its training images."""
    home = tmp_path / "material"
    shutil.copytree(material, home)
    folder = home / "generators" / tiny.NAME / TRAINING_IMAGES
    folder.mkdir()
    index_of(home / "labels.zip", folder / "0.npz")
    made = Service(tmp_path / "home", home)
    yield made
    made.db.close()


def test_copies_are_named_in_log_inversion_and_card(trained_here: Service) -> None:
    job = generate(trained_here.db, trained_here.labels, count=2)
    trained_here.work()
    ended = view(trained_here.db, job)
    assert ended.state == "succeeded", ended.error
    logged = {event.name: event.data for event in events(trained_here.db, job.id, tenant=TENANT)}
    assert logged["label_set.seen_in_training"]["images"] == {"01": "train/copy.png"}
    inversion = get_inversion(trained_here.db, ended.result.inversion, tenant=TENANT)
    assert inversion.info["seen_in_training"] == {"01": "train/copy.png"}
    dataset = get_dataset(trained_here.db, ended.result.dataset, tenant=TENANT)
    line = "1 of 6 labelled images also trained the generator (01)"
    assert any(warning.startswith(line) for warning in dataset.info["warnings"])
    assert line in content(trained_here.db, trained_here.objects, dataset.id, "README.md").decode()


def test_labels_of_another_shape_and_rule_are_warned_of(trained_here: Service, material: Path, tmp_path: Path) -> None:
    tiny.write_photographs(tmp_path / "photographs.zip", material / "labels.zip", boxes=False)
    labels = upload(trained_here.db, trained_here.objects, tmp_path / "photographs.zip")
    found = []
    rules: tuple[Fit, ...] = ("crop", "pad")
    for fit in rules:
        asked = CheckLabelsSpec(labels=labels, generator=tiny.NAME, fit=fit)
        job = submit_request(trained_here.db, asked, tenant=TENANT).job
        trained_here.work()
        logged = {event.name: event.data for event in events(trained_here.db, job.id, tenant=TENANT)}
        found.append(logged.get("label_set.other_fit", {}).get("text"))
    assert found == [
        "the generator's training images were brought to its size by pad, the labelled images are by crop: "
        "use fit: pad",
        None,
    ]


def test_a_generator_keeps_the_index_of_its_image_set(service: Service, material: Path, tmp_path: Path) -> None:
    index = index_of(material / "labels.zip", tmp_path / "index.npz")
    generate(service.db, service.labels, count=2)
    taken = claim(service.db, "inline")
    assert taken is not None
    (tmp_path / "shard").mkdir()
    context = InlineWorker(service.db, service.objects).context(taken, tmp_path / "shard")
    with service.db.write() as connection:
        add_image_set(connection, TENANT, NewImageSet("ims_1", "set", "d" * 64, 5, 16, 16, "", {}))
        for name in ("first", "further"):
            add_generator(connection, TENANT, NewGenerator(f"gen_{name}", name, "d" * 64, 16, 16, "", {}))
        add_files(connection, TENANT, [context.put("ims_1", INDEX, index, "application/octet-stream")])
    assert training_overlap.training_indices(context, "first") == []
    for name, begun_with in (("first", None), ("further", "first")):
        kept = training_overlap.keep_indices(context, f"gen_{name}", "ims_1", begun_with)
        assert [file.name for file in kept] == [f"{TRAINING_IMAGES}0.npz"], "equal indices are kept once"
        with service.db.write() as connection:
            add_files(connection, TENANT, kept)
    (loaded,) = training_overlap.training_indices(context, "further")
    assert loaded.names == ("train/copy.png", *(f"train/{number}.png" for number in range(4)))


def test_labels_that_trained_a_generator_here_are_named_when_they_are_checked(tmp_path: Path) -> None:
    service = test_train_generator.Service(tmp_path)
    test_train_generator.write_photographs(tmp_path / "mixed.zip", 40)
    with zipfile.ZipFile(tmp_path / "labels.zip") as labels, zipfile.ZipFile(tmp_path / "mixed.zip", "a") as mixed:
        mixed.writestr("photographs/label.png", labels.read("images/03.png"))
        mixed.writestr("photographs/again.png", labels.read("images/03.png"))  # copies are never held out
    service.add_images(tmp_path / "mixed.zip", "mixed")
    service.train(images="mixed", kimg=0.008, preparation={"perceptual_steps": 2, "encoder": False})
    service.work()
    asked = CheckLabelsSpec(
        labels=upload(service.db, service.objects, tmp_path / "labels.zip"), generator=service.generator().name
    )
    job = submit_request(service.db, asked, tenant=TENANT).job
    service.work()
    logged = {event.name: event.data for event in events(service.db, job.id, tenant=TENANT)}
    assert logged["label_set.seen_in_training"]["images"].keys() == {"03"}
    service.db.close()
