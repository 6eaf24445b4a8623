"""A data folder that the first release left: it opens, and everything in it is read and used further.

`tests/data/first_release.zip` was written by that release: `generators/tiny` (8x8 pixels, a description without a
family), labels, and the data folder of a service with the dataset of a job (seed 7, 10 images) and a set of samples
(seed 5, 4 images). Its shards hold `latent.npy`, its inversion `latents.safetensors`.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.datasets.samples import StoredSample
from core.datasets.shards import read_shard
from core.generators.files import read_description
from store.job_kinds.evaluate import EvaluateSpec
from store.job_kinds.export import ExportSpec
from store.jobs.submit import submit_request
from store.jobs.views import Job, list_jobs
from store.resources.artifacts import get_inversion, get_labeler
from store.resources.datasets import Dataset, list_datasets
from store.resources.evaluations import REPORT_JSON, get_report
from store.resources.files import list_files
from store.resources.generators import get_generator
from store.resources.sample_sets import ARCHIVE, get_samples_file, list_sample_sets
from store.tables import SCHEMA_REVISION
from tests.worker.inline import TENANT, Service, content, generate, upload, view

FOLDER = Path(__file__).parents[1] / "data" / "first_release.zip"
#: The settings of its jobs; those whose default has changed since are named.
LABELER = {"members": 2, "hidden": [16, 8], "max_steps": 60, "score": "sum", "train_on_all": False}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first_release")
    with zipfile.ZipFile(FOLDER) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Service]:
    opened = Service(home / "data", home)
    yield opened
    opened.db.close()


@pytest.fixture(scope="module")
def dataset(service: Service) -> Dataset:
    return list_datasets(service.db, tenant=TENANT).items[-1]


@pytest.fixture(scope="module")
def before(service: Service, dataset: Dataset) -> Job:
    return next(job for job in list_jobs(service.db, tenant=TENANT).items if job.id == dataset.job_id)


def samples_of(service: Service, dataset: str) -> list[StoredSample]:
    (shard,) = list_files(service.db, dataset, tenant=TENANT, prefix="shards/")
    return list(read_shard(io.BytesIO(content(service.db, service.objects, dataset, shard.name))))


def finished(service: Service, job: Job) -> Job:
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    return ended


def test_the_tables_are_migrated_and_the_generator_has_a_family(service: Service, dataset: Dataset) -> None:
    with service.db.read() as connection:
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    assert revision == SCHEMA_REVISION
    assert dataset.state == "ready"
    assert "family" not in get_generator(service.db, "tiny", tenant=TENANT).info, "as it was written"


def test_every_file_of_the_dataset_is_read_and_verified(service: Service, dataset: Dataset) -> None:
    stored = list_files(service.db, dataset.id, tenant=TENANT)
    assert {"manifest.json", "README.md", "shards/shard-000000.tar"} <= {file.name for file in stored}
    for file in stored:
        read = content(service.db, service.objects, dataset.id, file.name)
        assert hashlib.sha256(read).hexdigest() == file.sha256


def test_it_is_exported(service: Service, dataset: Dataset) -> None:
    finished(service, submit_request(service.db, ExportSpec(dataset=dataset.id, format="coco"), tenant=TENANT).job)


def test_its_samples_are_drawn_again_to_the_last_pixel(service: Service, dataset: Dataset, home: Path) -> None:
    held_out = upload(service.db, service.objects, home / "held_out.zip")
    spec = EvaluateSpec(dataset=dataset.id, labels=held_out, steps=2, repeats=1, baselines=["from_scratch"])
    job = finished(service, submit_request(service.db, spec, tenant=TENANT).job)
    report = get_report(service.db, job.id, REPORT_JSON, tenant=TENANT)
    gates = {gate["name"]: gate for gate in json.loads(b"".join(service.objects.read(report.key)))["gates"]}
    assert gates["regeneration"]["state"] == "passed", gates["regeneration"]


def test_an_equal_request_draws_equal_images_and_labels(
    service: Service, dataset: Dataset, before: Job, home: Path
) -> None:
    again = finished(service, generate(service.db, before.result.label_set, count=10, labeler=LABELER))
    old, new = (samples_of(service, one) for one in (dataset.id, again.result.dataset))
    spec = read_description(home / "generators" / "tiny").description.code
    assert [one.index for one in old] == [one.index for one in new]
    for one, other in zip(old, new, strict=True):
        assert one.file("image.png") == other.file("image.png")
        assert one.file("mask.png") == other.file("mask.png")
        # Entropies of up to ln 2 are subtracted in float32; processors differ in the last bits of each.
        uncertainty = [each.record()["uncertainty"] for each in (one, other)]
        assert uncertainty[0] == pytest.approx(uncertainty[1], rel=0, abs=1e-6)
        codes = [each.code(spec).parts["w_plus"].numpy() for each in (one, other)]
        np.testing.assert_allclose(codes[0], codes[1], rtol=0, atol=1e-6)


def test_more_is_drawn_with_the_same_labels(service: Service, dataset: Dataset, before: Job) -> None:
    following: dict[str, Any] = {"offset": dataset.info["next_offset"], "truncation_psi": 0.7}
    more = finished(service, generate(service.db, before.result.label_set, count=4, labeler=LABELER, **following))
    assert min(one.index for one in samples_of(service, more.result.dataset)) >= dataset.info["next_offset"]


def test_its_labeler_and_inversion_are_read(service: Service, before: Job) -> None:
    assert get_labeler(service.db, before.result.labeler, tenant=TENANT).info
    assert get_inversion(service.db, before.result.inversion, tenant=TENANT).info["images"] == 3


def test_its_samples_can_be_labelled(service: Service, tmp_path: Path) -> None:
    (samples,) = list_sample_sets(service.db, tenant=TENANT).items
    file = get_samples_file(service.db, samples.id, ARCHIVE, tenant=TENANT)
    drawn = zipfile.ZipFile(io.BytesIO(b"".join(service.objects.read(file.key))))
    with zipfile.ZipFile(tmp_path / "labelled.zip", "w") as labelled:
        for path in (name for name in drawn.namelist() if name.startswith("images/")):
            grey = np.asarray(Image.open(io.BytesIO(drawn.read(path))).convert("L"))
            mask = io.BytesIO()
            Image.fromarray((grey > grey.mean()).astype(np.uint8)).save(mask, "PNG")
            labelled.writestr(path, drawn.read(path))
            labelled.writestr(path.replace("images/", "masks/"), mask.getvalue())
        labelled.writestr("classes.json", json.dumps(["dark", "bright"]))
    labels = upload(service.db, service.objects, tmp_path / "labelled.zip")
    finished(service, generate(service.db, labels, samples=samples.id, count=2, labeler=LABELER))
