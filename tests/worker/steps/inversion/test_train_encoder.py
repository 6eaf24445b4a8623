"""The job that trains an encoder: resumed, reported by iteration, made once, and used by the next inversion."""

from __future__ import annotations

import io
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from store.errors import InvalidRequest
from store.job_kinds.generate import GenerateSpec
from store.job_kinds.train_encoder import TrainEncoderSpec
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.resources.artifacts import get_encoder, get_inversion, list_encoders
from store.resources.files import get_file, list_files
from tests.e2e import tiny
from tests.worker.inline import TENANT, InlineWorker, Service, content, generate, view
from worker.runtime.step_context import StepContext

# By its module: in the package, the name is the function.
step = import_module("worker.steps.inversion.train_encoder")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny generator and labels for it."""
    folder = tmp_path_factory.mktemp("material")
    tiny.write_labels(folder / "labels.zip", tiny.write_generator(folder / "generators"), count=12)
    return folder


def train(service: Service, **spec: Any) -> Job:
    small = {"generator": "tiny", "steps": 6, "image_size": 16}
    return submit_request(service.db, TrainEncoderSpec(**{**small, **spec}), tenant=TENANT).job


def weights(service: Service, job: Job) -> str:
    encoder = view(service.db, job).result.encoder
    return get_file(service.db, encoder, "encoder.safetensors", tenant=TENANT).sha256


@pytest.mark.parametrize(("train_on", "heads"), [("samples", "psp"), ("labels", "e4e"), ("both", "e4e")])
def test_an_encoder_comes_with_what_it_is_worth(service: Service, train_on: str, heads: str) -> None:
    labels = None if train_on == "samples" else service.labels
    job = train(service, train_on=train_on, heads=heads, labels=labels, feature_weight=0.5)
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    encoder = get_encoder(service.db, ended.result.encoder, tenant=TENANT)
    assert [one.id for one in list_encoders(service.db, tenant=TENANT).items] == [encoder.id]
    assert ("label_set_id" in encoder.parents) == (train_on != "samples")
    judged = {"samples"} if train_on == "samples" else {"samples", "labels_held_out", "labels_learnt"}
    assert set(encoder.info["by_iteration"]) == judged
    assert encoder.info["images"]["samples"] == 32
    assert encoder.info["curve"][-1]["feature"] > 0
    if labels:
        assert (encoder.info["images"]["labels_held_out"], encoder.info["images"]["labels_learnt"]) == (2, 10)
    for entries in encoder.info["by_iteration"].values():
        assert [entry["iteration"] for entry in entries] == [1, 2, 3, 4, 5]
        assert all(entry["psnr"] > 0 and entry["perceptual"] > 0 for entry in entries)
    assert encoder.info["curve"][-1]["step"] == 6
    assert encoder.info["heads"] == heads
    picture = content(service.db, service.objects, encoder.id, "attempts.png")
    assert Image.open(io.BytesIO(picture)).width == 6 * 16 + 5 * 2
    again = train(service, train_on=train_on, heads=heads, labels=ended.result.label_set, feature_weight=0.5)
    service.work()
    assert view(service.db, again).result.encoder == encoder.id
    assert "encoder.reused" in {event.name for event in events(service.db, again.id, tenant=TENANT)}


def test_training_that_was_interrupted_goes_on_from_its_checkpoint(
    service: Service, tmp_path: Path, material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure = step.training_config
    monkeypatch.setattr(step, "training_config", lambda *given: replace(configure(*given), checkpoint_every=2))
    loaded: list[bool] = []
    load = StepContext.load_checkpoint

    def noticed(context: StepContext) -> bytes | None:
        kept = load(context)
        loaded.append(kept is not None)
        return kept

    monkeypatch.setattr(StepContext, "load_checkpoint", noticed)
    undisturbed = Service(tmp_path / "undisturbed", material)
    reference = train(undisturbed)
    undisturbed.work()
    job = train(service)
    worker = InlineWorker(service.db, service.objects)
    worker.stop_at = ("train_encoder", 5)
    worker.run()
    assert loaded == [False, False, True]
    assert weights(service, job) == weights(undisturbed, reference)
    undisturbed.db.close()


def test_an_inversion_begins_with_the_encoder_that_was_chosen(service: Service) -> None:
    job = train(service)
    service.work()
    encoder = view(service.db, job).result.encoder
    plain = generate(service.db, service.labels, count=2)
    chosen = generate(service.db, service.labels, count=2, inversion={"steps": 8, "encoder": encoder})
    service.work()
    starts = []
    for one in (plain, chosen):
        assert view(service.db, one).state == "succeeded", view(service.db, one).error
        starts.append(get_inversion(service.db, view(service.db, one).result.inversion, tenant=TENANT).info["start"])
    assert starts == ["mean", "encoder"]


def test_requests_that_cannot_work_name_every_field(service: Service) -> None:
    with pytest.raises(InvalidRequest) as caught:
        train(service, generator="nothing", train_on="both")
    assert [problem.pointer for problem in caught.value.problems] == ["/generator", "/labels"]
    with pytest.raises(InvalidRequest) as caught:
        train(service, labels=service.labels)
    assert [problem.pointer for problem in caught.value.problems] == ["/labels"]
    spec = GenerateSpec(labels=service.labels, generator="tiny", count=1, inversion={"encoder": "enc_none"})
    with pytest.raises(InvalidRequest) as caught:
        submit_request(service.db, spec, tenant=TENANT)
    assert [problem.pointer for problem in caught.value.problems] == ["/inversion/encoder"]
    assert not list_files(service.db, "enc_none", tenant=TENANT)
