"""A generator is assessed by an image set: the report, notes, extractors that are absent, refusals before anything."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.evaluation.image_sources import SampledImages
from core.generators.files import load_generator
from store.errors import InUse, InvalidRequest, NotReady
from store.job_kinds.add_images import AddImagesSpec
from store.job_kinds.assess_generator import AssessGeneratorSpec
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.resources.generators import get_generator
from store.resources.image_sets import delete_image_set
from store.resources.quality_reports import REPORT_HTML, REPORT_JSON, REPORT_PNG, newest_report
from tests.core.training.test_images import encoded
from tests.e2e.tiny import NAME
from tests.worker.inline import TENANT, Service, upload, view


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[Service]:
    """The tiny generator, and an image set of its own samples."""
    made = Service(tmp_path_factory.mktemp("assessment"), material)
    sampler = load_generator(material / "generators" / NAME).bind({"truncation_psi": 1.0})
    pictures = SampledImages(sampler, 60, 77).read(range(60)).permute(0, 2, 3, 1).numpy()
    _add_images(made, "own", pictures)
    yield made
    made.db.close()


def _add_images(service: Service, name: str, pictures: Any, size: int = 16) -> None:
    path = service.settings.home / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, one in enumerate(pictures):
            archive.writestr(f"{number:03d}.png", encoded(np.ascontiguousarray(one)))
    source = upload(service.db, service.objects, path)
    job = submit_request(
        service.db, AddImagesSpec(source=source, name=name, height=size, width=size), tenant=TENANT
    ).job
    service.work()
    assert view(service.db, job).state == "succeeded", view(service.db, job).error


def _asked(service: Service, **spec: Any) -> Job:
    request = AssessGeneratorSpec(**{"generator": NAME, "images": "own", "count": 50, "seed": 3, **spec})
    return submit_request(service.db, request, tenant=TENANT).job


def _done(service: Service, **spec: Any) -> Job:
    job = _asked(service, **spec)
    service.work()
    return view(service.db, job)


def _report(service: Service, name: str) -> bytes:
    generator = get_generator(service.db, NAME, tenant=TENANT)
    file = newest_report(service.db, generator.id, name, tenant=TENANT, ask="")
    return b"".join(service.objects.read(file.key))


def test_a_generator_is_assessed_by_the_held_out_images_of_an_image_set(service: Service) -> None:
    with pytest.raises(NotReady):
        _report(service, REPORT_HTML)
    job = _done(service)
    assert job.state == "succeeded", job.error
    generator = get_generator(service.db, NAME, tenant=TENANT)
    assert job.result.generator == generator.id
    found = json.loads(_report(service, REPORT_JSON))
    assert (found["report"], found["images"]["name"]) == (job.id, "own")
    assert found["generator"]["settings"]["truncation_psi"] == 1  # the widest of the preview settings
    (score,), (reached,) = found["scores"], found["training_scores"]
    assert score["spec"]["extractor"] == "domain (tiny-trunk)"
    assert len(score["spec"]["digest"]) == 64
    assert (score["spec"]["generated"], score["spec"]["real"], score["spec"]["seed"]) == (50, 30, 3)
    assert reached["spec"]["generated"] == 30
    assert [one["space"]["extractor"] for one in found["memorization"]] == [
        "pixels (means of 16 x 16 patches)",
        "domain (tiny-trunk)",
    ]
    assert found["memorization"][0]["mirrored"]
    assert not found["memorised"]
    assert any("may have been trained on other images" in note for note in found["notes"])
    assert _report(service, REPORT_HTML).startswith(b"<!doctype html>")
    assert _report(service, REPORT_PNG).startswith(b"\x89PNG")
    assert "generator.assessed" in [event.name for event in events(service.db, job.id, tenant=TENANT)]


def test_an_assessment_repeats_and_names_the_features_and_settings_that_were_asked_for(service: Service) -> None:
    asked = {"features": ["pixels"], "sampling": {"truncation_psi": 0.5}}
    reports = []
    for _ in range(2):
        assert _done(service, **asked).state == "succeeded"
        reports.append(json.loads(_report(service, REPORT_JSON)))
    assert {**reports[0], "report": ""} == {**reports[1], "report": ""}
    assert reports[0]["generator"]["settings"]["truncation_psi"] == 0.5
    assert [one["space"]["extractor"] for one in reports[0]["memorization"]] == ["pixels (means of 16 x 16 patches)"]


def test_absent_weights_of_an_extractor_are_named(service: Service) -> None:
    job = _done(service, features=["domain", "inception"])
    assert (job.state, job.error.code) == ("failed", "bad_evaluation")
    (problem,) = job.error.problems
    assert "offhand weights pull inception" in problem.detail


def test_images_that_do_not_fit_are_refused_at_the_request(service: Service) -> None:
    random = torch.randint(0, 256, (12, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    _add_images(service, "few", random.numpy(), size=8)
    for images, words in (
        ("few", ("8 x 8", "6 held-out images")),
        ("owl", ("did you mean `own`",)),
    ):
        with pytest.raises(InvalidRequest) as caught:
            _asked(service, images=images)
        assert {one.pointer for one in caught.value.problems} == {"/images"}
        text = " ".join(one.detail for one in caught.value.problems)
        assert all(word in text for word in words)


def test_an_image_set_in_use_by_an_assessment_cannot_be_deleted(service: Service) -> None:
    job = _asked(service)
    with pytest.raises(InUse, match=job.id):
        delete_image_set(service.db, service.objects, "own", tenant=TENANT)
    service.work()
