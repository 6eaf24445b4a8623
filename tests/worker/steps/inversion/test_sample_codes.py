"""Samples of the generator that people label: drawn with their codes, labelled, learnt from without inversion."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image

from core.generators.files import load_generator
from core.generators.stylegan2.generator import StyleGAN2Generator, latent
from store.errors import InvalidRequest, NotReady
from store.job_kinds.draw_samples import DrawSamplesSpec
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.resources.artifacts import get_inversion
from store.resources.files import get_file
from store.resources.sample_sets import ARCHIVE, get_sample_set, get_samples_file
from tests.e2e import tiny
from tests.worker.inline import TENANT, Service, generate, upload, view

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("samples"), material)
    yield made
    made.db.close()


@pytest.fixture(scope="module")
def samples(service: Service) -> str:
    spec = DrawSamplesSpec(generator="tiny", count=6, seed=5, offset=3)
    job = submit_request(service.db, spec, tenant=TENANT).job
    with pytest.raises(NotReady):
        get_samples_file(service.db, job.result.samples, ARCHIVE, tenant=TENANT)
    service.work(die_after={"draw_samples"})
    ended = view(service.db, job)
    assert (ended.state, ended.counts.done, ended.counts.total) == ("succeeded", 6, 6), ended.error
    return ended.result.samples


def _archive(service: Service, samples: str) -> zipfile.ZipFile:
    file = get_samples_file(service.db, samples, ARCHIVE, tenant=TENANT)
    return zipfile.ZipFile(io.BytesIO(b"".join(service.objects.read(file.key))))


def _as_it_is(name: str, image: Pixels) -> tuple[str, Pixels]:
    return name, image


def _labelled(
    service: Service, samples: str, folder: Path, change: Callable[[str, Pixels], tuple[str, Pixels]] = _as_it_is
) -> str:
    """An upload of all samples but the last with masks, each changed by ``change``."""
    target = folder / "labelled.zip"
    with _archive(service, samples) as drawn, zipfile.ZipFile(target, "w") as labelled:
        for name in drawn.namelist():
            if not name.startswith("images/"):
                labelled.writestr(name, drawn.read(name))
        for path in [name for name in drawn.namelist() if name.startswith("images/")][:-1]:
            name, image = change(Path(path).name, np.array(Image.open(io.BytesIO(drawn.read(path)))))
            grey = image.mean(2)
            for part, pixels in (("images", image), ("masks", (grey > grey.mean()).astype(np.uint8))):
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "PNG")
                labelled.writestr(f"{part}/{name}", buffer.getvalue())
        labelled.writestr("classes.json", json.dumps(["dark", "bright"]))
    return upload(service.db, service.objects, target)


def test_samples_are_the_streams_and_repeat_to_the_byte(service: Service, samples: str, material: Path) -> None:
    with _archive(service, samples) as archive:
        names = archive.namelist()
        assert names[:2] == ["images/000000003.png", "images/000000004.png"]
        assert samples in archive.read("LABELING.txt").decode()
        assert json.loads(archive.read("samples.json"))["seed"] == 5
        image = np.array(Image.open(io.BytesIO(archive.read(names[0]))))
    generator = load_generator(material / "generators" / tiny.NAME)
    assert isinstance(generator, StyleGAN2Generator)
    network = generator.network
    drawn = network.synthesize(network.map(latent(5, 3, 16)[None], None, 0.7), "const").image[0]
    assert np.abs(image - ((drawn.permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).numpy()).max() <= 1
    again = submit_request(service.db, DrawSamplesSpec(generator="tiny", count=6, seed=5, offset=3), tenant=TENANT).job
    service.work()
    with _archive(service, again.result.samples) as other, _archive(service, samples) as first:
        assert all(other.read(name) == first.read(name) for name in names if name.startswith("images/"))
    assert get_sample_set(service.db, samples, tenant=TENANT).spec["count"] == 6


def _ended(service: Service, labels: str, samples: str) -> Job:
    job = generate(service.db, labels, samples=samples, count=4, labeler={"members": 2, "max_steps": 30})
    service.work()
    return view(service.db, job)


def test_labelled_samples_are_learnt_from_without_inversion(service: Service, samples: str, tmp_path: Path) -> None:
    ended = _ended(service, _labelled(service, samples, tmp_path), samples)
    assert ended.state == "succeeded", ended.error
    inversion = get_inversion(service.db, ended.result.inversion, tenant=TENANT)
    assert (inversion.info["start"], inversion.info["images"], inversion.info["median_steps"]) == ("sample", 5, 0)
    assert inversion.info["median_psnr"] > 50
    stored = b"".join(service.objects.read(get_file(service.db, inversion.id, "codes.safetensors", tenant=TENANT).key))
    kept = get_samples_file(service.db, samples, "codes.safetensors", tenant=TENANT)
    codes = safetensors.torch.load(b"".join(service.objects.read(kept.key)))["w_plus"]
    assert torch.equal(safetensors.torch.load(stored)["w_plus"], codes[:5])


def test_images_that_are_not_the_samples_are_all_named(service: Service, samples: str, tmp_path: Path) -> None:
    def turned(name: str, image: Pixels) -> tuple[str, Pixels]:
        return name, np.ascontiguousarray(image[::-1]) if name < "000000005" else image

    ended = _ended(service, _labelled(service, samples, tmp_path, turned), samples)
    assert ended.error is not None
    assert (ended.state, ended.error.code) == ("failed", "inversion_failed")
    assert [problem.pointer for problem in ended.error.problems] == ["000000003", "000000004"]

    def renamed(name: str, image: Pixels) -> tuple[str, Pixels]:
        return f"my-{name}" if name.startswith("000000007") else name, image

    ended = _ended(service, _labelled(service, samples, tmp_path, renamed), samples)
    assert ended.error is not None
    assert [problem.pointer for problem in ended.error.problems] == ["my-000000007"]


def test_samples_that_are_not_there_are_refused_at_once(service: Service, samples: str) -> None:
    for wrong in ("smp_none", samples.replace("smp_", "job_")):
        with pytest.raises(InvalidRequest) as refused:
            generate(service.db, service.labels, samples=wrong)
        assert [problem.pointer for problem in refused.value.problems] == ["/samples"]
