"""A published encoder becomes an encoder of its generator, and jobs begin their inversions with it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.callbacks import ShouldStop
from core.checkpoints.process import import_encoder_in_process
from core.errors import CheckpointError
from core.inversion.encoder import load_encoder
from core.inversion.published.importing import ImportedEncoder
from core.inversion.published.importing import import_encoder as read_encoder
from core.inversion.published.network import PublishedConfig, PublishedEncoder
from store.database.database import Database, open_database
from store.errors import InvalidRequest
from store.job_kinds.import_encoder import ImportEncoderSpec
from store.job_kinds.train_labeler import TrainLabelerSpec
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.resources.artifacts import get_encoder
from store.settings import Settings, WorkerSettings
from tests.e2e import tiny
from tests.worker.inline import TENANT, InlineWorker, content, upload, view

OPTS = {"encoder_type": "ProgressiveBackboneEncoder", "output_size": 16, "device": "cuda:0"}


class Service:
    """A database and objects with the built-in generator `tiny`."""

    def __init__(self, home: Path) -> None:
        self.home, self.network = home, tiny.write_generator(home / "shipped")
        worker = WorkerSettings(backoff_seconds=0.0, device="cpu", threads=1)
        settings = Settings(home=home, generators_folder=str(home / "shipped"), worker=worker)
        self.db: Database = open_database(settings)
        self.objects: ObjectStore = open_objects(settings)

    def imported(self, value: Any, **spec: Any) -> Job:
        """The job at its end."""
        path = self.home / "encoder.pt"
        torch.save(value, path)
        source = upload(self.db, self.objects, path)
        request = ImportEncoderSpec(source=source, generator=tiny.NAME, **spec)
        job = submit_request(self.db, request, tenant=TENANT).job
        InlineWorker(self.db, self.objects).run()
        return view(self.db, job)


@pytest.fixture(autouse=True)
def reading_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that a process takes to load torch; one test goes the whole way."""

    def read(path: Path, _folder: Path, heads: str | None, *, should_stop: ShouldStop) -> ImportedEncoder:
        return read_encoder(path, heads, should_stop=should_stop)

    step = importlib.import_module("worker.steps.inversion.import_encoder")  # the package has the step under this name
    monkeypatch.setattr(step, "import_encoder_in_process", read)
    judging = importlib.import_module("worker.steps.inversion.train_encoder")
    monkeypatch.setattr(judging, "_JUDGED_SAMPLES", 2)  # its networks look at 256 pixels
    monkeypatch.setattr(judging, "_SHOWN", 1)


@pytest.mark.slow
def test_process_of_its_own_reads_the_same_encoder(tmp_path: Path) -> None:
    path = tmp_path / "encoder.pt"
    torch.save({"state_dict": state(), "opts": OPTS, "latent_avg": torch.ones(16)}, path)
    apart, here = import_encoder_in_process(path, tmp_path / "reading"), read_encoder(path)
    assert apart.report == here.report
    wanted = here.encoder.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in apart.encoder.state_dict().items())
    with pytest.raises(CheckpointError, match="contradicts"):
        import_encoder_in_process(path, tmp_path / "again", "psp")
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.db.close()


def state(rows: int = 6, *, single: bool = False) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    config = PublishedConfig("ir_se50", "e4e", rows, 16, (4, 4, 4, 4, 4), (1, 1, 1, 1), not single, single)
    tensors = PublishedEncoder(config, None).state_dict()
    return {"encoder." + name.removeprefix("backbone."): tensor for name, tensor in tensors.items()}


def test_imported_encoder_is_stored_with_its_reconstructions_and_starts_inversions(service: Service) -> None:
    average = service.network.w_avg.expand(6, -1).clone()
    value = {"state_dict": state(), "opts": OPTS, "latent_avg": average}
    job = service.imported(value)
    assert job.state == "succeeded", job.error
    made = get_encoder(service.db, job.result.encoder, tenant=TENANT)
    about = made.info["imported"]
    assert (about["encoder_type"], about["backbone"], about["iterations"]) == (OPTS["encoder_type"], "ir_se50", 5)
    assert about["notes"] == []
    assert len(made.info["by_iteration"]["samples"]) == 5
    folder = service.home / "unpacked"
    folder.mkdir()
    for name in ("encoder.json", "encoder.safetensors"):
        (folder / name).write_bytes(content(service.db, service.objects, made.id, name))
    assert isinstance(load_encoder(folder), PublishedEncoder)
    again = service.imported(value)
    assert again.result.encoder == made.id
    tiny.write_labels(service.home / "labels.zip", service.network, count=2)
    labels = upload(service.db, service.objects, service.home / "labels.zip")
    request = TrainLabelerSpec.model_validate(
        {"labels": labels, "generator": tiny.NAME, "force": True, "labeler": {"members": 1}}
        | {"inversion": {"encoder": made.id, "steps": 2, "mirror": False}}
    )
    trained = submit_request(service.db, request, tenant=TENANT).job
    InlineWorker(service.db, service.objects).run()
    ended = view(service.db, trained)
    report = json.loads(content(service.db, service.objects, ended.result.inversion, "report.json"))
    assert all(row["start"] == "encoder" for row in report["per_image"])


def test_encoder_of_another_generator_is_refused_with_expected_and_found(service: Service) -> None:
    far = service.network.w_avg.expand(6, -1) + 10
    job = service.imported({"state_dict": state(8), "opts": OPTS | {"output_size": 32}})
    assert job.error is not None
    details = [problem.detail for problem in job.error.problems]
    assert details == ["expected 6 rows of 16 numbers, found 8 of 16", "expected 16 pixels, found 32"]
    noted = service.imported({"state_dict": state(), "opts": OPTS, "latent_avg": far})
    made = get_encoder(service.db, noted.result.encoder, tenant=TENANT)
    assert "was trained for another generator" in made.info["imported"]["notes"][0]


def test_encoder_of_a_single_pass_has_one_reconstruction(service: Service) -> None:
    job = service.imported({"state_dict": state(single=True), "opts": {"encoder_type": "Encoder4Editing"}})
    assert job.state == "succeeded", job.error
    made = get_encoder(service.db, job.result.encoder, tenant=TENANT)
    assert [one["iteration"] for one in made.info["by_iteration"]["samples"]] == [1]
    assert made.info["imported"]["start"] == "generator"


def test_files_that_hold_no_encoder_or_leave_a_question_open_fail_the_job(service: Service) -> None:
    job = service.imported({"state_dict": state()})
    assert job.error is not None
    assert (job.error.code, job.error.problems[0].pointer) == ("bad_checkpoint", "heads")
    assert service.imported({"state_dict": state()}, heads="psp").state == "succeeded"
    foreign = service.imported({"weights": torch.zeros(2)})
    assert foreign.error is not None
    assert "no known encoder" in foreign.error.detail


def test_sources_that_are_neither_upload_nor_url_are_refused(service: Service) -> None:
    for source in ("encoder.pt", "http://example.com/e.pt", "upl_none"):
        with pytest.raises(InvalidRequest) as caught:
            submit_request(service.db, ImportEncoderSpec(source=source, generator=tiny.NAME), tenant=TENANT)
        assert [problem.pointer for problem in caught.value.problems] == ["/source"]
