"""Photographs without labels: from an upload to an image set with its report, pictures and index."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.training.image_index import ImageIndex
from store.database.database import Database, open_database
from store.errors import InUse, InvalidRequest, NotFound
from store.job_kinds.add_images import AddImagesSpec
from store.jobs.claims import claim
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.resources.files import list_files
from store.resources.image_sets import (
    CONTACT_SHEET,
    INDEX,
    PACKED,
    REPORT,
    delete_image_set,
    get_image_set,
    list_image_sets,
    rename_image_set,
)
from store.settings import Settings, WorkerSettings
from store.tables import jobs
from tests.core.training.test_images import encoded, picture
from tests.worker.inline import TENANT, InlineWorker, content, upload, view
from worker.loading import load_images


class Service:
    """A database and objects of its own."""

    def __init__(self, home: Path) -> None:
        worker = WorkerSettings(backoff_seconds=0.0, device="cpu", threads=1)
        self.settings = Settings(home=home, generators_folder=str(home / "none"), worker=worker)
        self.db: Database = open_database(self.settings)
        self.objects: ObjectStore = open_objects(self.settings)

    def upload(self, files: dict[str, bytes], name: str = "photos.zip") -> str:
        path = self.settings.home / name
        with zipfile.ZipFile(path, "w") as archive:
            for entry, data in files.items():
                archive.writestr(entry, data)
        return upload(self.db, self.objects, path)

    def added(self, source: str, name: str = "photos", **spec: Any) -> Job:
        """An `add_images` job at its end."""
        asked = AddImagesSpec(source=source, name=name, **({"height": 16, "width": 16} | spec))
        job = submit_request(self.db, asked, tenant=TENANT).job
        InlineWorker(self.db, self.objects).run()
        return view(self.db, job)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.db.close()


def photographs(count: int = 8, folders: tuple[str, ...] = ("",)) -> dict[str, bytes]:
    return {
        f"{folders[index % len(folders)]}{index:02d}.png": encoded(picture(index, 24, 32)) for index in range(count)
    }


def test_an_upload_becomes_an_image_set(service: Service) -> None:
    files = photographs(8, ("photos/cat/", "photos/dog/"))
    files["photos/cat/broken.png"] = b"no picture"
    files["photos/dog/again.png"] = files["photos/cat/00.png"]
    files["photos/LICENSE"] = b"CC BY 4.0"
    job = service.added(service.upload(files), height=16, width=24, fit="pad")
    assert job.state == "succeeded", job.error
    made = get_image_set(service.db, "photos", tenant=TENANT)
    assert made.id == job.result.image_set
    assert (made.images, made.height, made.width, made.licence) == (9, 16, 24, "CC BY 4.0")
    assert (made.classes, made.fit, made.flips) == ({"cat": 4, "dog": 5}, "pad", True)
    assert (made.info["unreadable"], made.info["copies"]) == (1, 1)
    assert {file.name for file in list_files(service.db, made.id, tenant=TENANT)} == {
        PACKED,
        INDEX,
        REPORT,
        CONTACT_SHEET,
    }
    report = json.loads(content(service.db, service.objects, made.id, REPORT))
    assert [one["file"] for one in report["unreadable"]] == ["photos/cat/broken.png"]
    assert report["copies"] == [{"image": "photos/dog/again.png", "of": "photos/cat/00.png"}]
    assert Image.open(io.BytesIO(content(service.db, service.objects, made.id, CONTACT_SHEET))).format == "PNG"
    logged = [event.name for event in events(service.db, job.id, tenant=TENANT)]
    assert "image_set.added" in logged
    assert "image_set.warning" in logged


def test_a_step_loads_the_images_of_a_set_by_its_name(service: Service, tmp_path: Path) -> None:
    job = service.added(service.upload(photographs()))
    made = get_image_set(service.db, job.result.image_set, tenant=TENANT)
    submit_request(
        service.db,
        AddImagesSpec(source=service.upload(photographs(3), "b.zip"), name="b", height=8, width=8),
        tenant=TENANT,
    )
    taken = claim(service.db, "inline")
    assert taken is not None
    with tempfile.TemporaryDirectory() as folder:
        context = InlineWorker(service.db, service.objects).context(taken, Path(folder))
        images = load_images(context, "photos")
        images.verify()
        assert (len(images), images.shape, images.digest) == (8, (3, 16, 16), made.digest)
        assert len(images.training) + len(images.held_out) == 8
        stored = Path(folder) / "index.npz"
        stored.write_bytes(content(service.db, service.objects, made.id, INDEX))
        index = ImageIndex.load(stored)
        assert index.names == tuple(images.training.names)
        trained, apart = (int(part.names[0].removesuffix(".png")) for part in (images.training, images.held_out))
        found = index.copies_among([picture(number, 24, 32) for number in (99, trained, apart)])
        assert found == {1: f"{trained:02d}.png"}


def test_flips_are_off_where_a_class_is_named_left_or_right(service: Service) -> None:
    files = photographs(6, ("left_hand/", "right_hand/"))
    job = service.added(service.upload(files))
    made = get_image_set(service.db, job.result.image_set, tenant=TENANT)
    assert not made.flips
    assert made.info["flips_reason"] == "the name of class 'left_hand' has the word left or right"
    job = service.added(service.upload(files), "asked", flips=True)
    assert get_image_set(service.db, "asked", tenant=TENANT).flips, job.error


def test_imbalance_leaves_a_long_tail(service: Service) -> None:
    files = photographs(24, ("a/", "b/", "c/"))
    job = service.added(service.upload(files), imbalance=4.0)
    made = get_image_set(service.db, job.result.image_set, tenant=TENANT)
    assert made.classes == {"a": 8, "b": 4, "c": 2}
    assert made.info["left_out"] == 10
    failed = service.added(service.upload(photographs(4), "plain.zip"), "plain", imbalance=4.0)
    assert failed.error is not None
    assert (failed.error.code, failed.error.problems[0].pointer) == ("bad_image_set", "imbalance")


def test_classes_can_be_left_out(service: Service) -> None:
    job = service.added(service.upload(photographs(6, ("00000/", "01000/"))), classes="none")
    assert get_image_set(service.db, job.result.image_set, tenant=TENANT).classes == {}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"notes.txt": b"none"}, "expected files of images"),
        ({"a.png": b"x", "b.png": b"y"}, "at least 2 readable images"),
        ({"../a.png": b"x"}, "leaves the archive"),
        ({"a.png": b"x", "t.parquet": b"y"}, "send one of both"),
    ],
)
def test_an_upload_that_is_no_image_set_fails_the_job(service: Service, files: dict[str, bytes], expected: str) -> None:
    job = service.added(service.upload(files))
    assert (job.state, job.error and job.error.code) == ("failed", "bad_image_set")
    assert job.error is not None
    assert expected in " ".join(problem.detail for problem in job.error.problems)
    assert list_image_sets(service.db, tenant=TENANT).items == []


def test_requests_with_a_taken_name_or_without_an_upload_are_refused(service: Service) -> None:
    source = service.upload(photographs())
    service.added(source)
    for spec, pointers in (
        ({"name": "photos"}, ["/name"]),
        ({"name": "new", "source": "upl_none"}, ["/source"]),
        ({"name": "new", "imbalance": 2.0, "classes": "none"}, ["/imbalance"]),
    ):
        asked = AddImagesSpec(**({"source": source, "height": 8, "width": 8} | spec))  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest) as caught:
            submit_request(service.db, asked, tenant=TENANT)
        assert [problem.pointer for problem in caught.value.problems] == pointers
    submit_request(service.db, AddImagesSpec(source=source, name="new", height=8, width=8), tenant=TENANT)
    with pytest.raises(InvalidRequest, match="cannot be added"):
        submit_request(service.db, AddImagesSpec(source=source, name="new", height=8, width=8), tenant=TENANT)


def test_an_image_set_is_renamed_and_deleted_unless_a_job_uses_it(service: Service) -> None:
    made = service.added(service.upload(photographs())).result.image_set
    assert rename_image_set(service.db, made, "other", tenant=TENANT).name == "other"
    using = submit_request(
        service.db,
        AddImagesSpec(source=service.upload(photographs(3), "b.zip"), name="photos", height=8, width=8),
        tenant=TENANT,
    ).job
    with service.db.write() as connection:
        spec = using.spec | {"images": "other"}
        connection.execute(jobs.update().where(jobs.c.id == using.id).values(spec=spec))
    with pytest.raises(InUse, match=using.id):
        delete_image_set(service.db, service.objects, made, tenant=TENANT)
    with pytest.raises(InUse, match=using.id):
        rename_image_set(service.db, made, "third", tenant=TENANT)
    with service.db.write() as connection:
        connection.execute(jobs.update().where(jobs.c.id == using.id).values(spec=using.spec))
    delete_image_set(service.db, service.objects, "other", tenant=TENANT)
    with pytest.raises(NotFound):
        get_image_set(service.db, made, tenant=TENANT)
    assert list_files(service.db, made, tenant=TENANT) == []


def test_equal_requests_pack_equal_bytes(service: Service) -> None:
    source = service.upload(photographs(12, ("a/", "b/")))
    for name in ("one", "two"):
        service.added(source, name, seed=5)
    one, two = (get_image_set(service.db, name, tenant=TENANT) for name in ("one", "two"))
    assert one.digest == two.digest
    packed = [content(service.db, service.objects, made.id, PACKED) for made in (one, two)]
    assert packed[0] == packed[1]
    assert np.frombuffer(packed[0][:12], np.uint8).any()
