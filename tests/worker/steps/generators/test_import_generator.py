"""Checkpoints made elsewhere: from an upload, a URL and the catalogue to a generator that jobs can draw from."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import save

from core.callbacks import ShouldStop
from core.generators.answers import Answers
from core.generators.importing import Imported, import_checkpoint
from core.generators.stylegan2.config import StyleGAN2Config
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk, save_perceptual
from store.database.database import Database, open_database
from store.errors import InUse, InvalidRequest, NotFound
from store.job_kinds.import_generator import ImportGeneratorSpec
from store.jobs.cancel import cancel_job
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.objects import ObjectStore, open_objects
from store.resources import catalogue
from store.resources.catalogue import CatalogueEntry
from store.resources.files import File, add_files, list_files
from store.resources.generators import (
    IMPORTED,
    PREVIEW,
    NewGenerator,
    add_generator,
    delete_generator,
    get_generator,
    list_generators,
)
from store.settings import EgressSettings, LimitSettings, Settings, WorkerSettings
from tests.core.checkpoints import writers
from tests.e2e import tiny
from tests.worker.inline import TENANT, InlineWorker, content, generate, upload, view
from worker.steps.generators.import_generator import in_seconds

Serve = Callable[..., str]


class Service:
    """A database and objects of its own, without any built-in generator."""

    def __init__(self, home: Path, **settings: Any) -> None:
        worker = WorkerSettings(shard_images=8, batch=4, backoff_seconds=0.0, device="cpu", threads=1)
        shipped = str(home / "none")
        self.settings = Settings(home=home, generators_folder=shipped, worker=worker, **settings)
        self.db: Database = open_database(self.settings)
        self.objects: ObjectStore = open_objects(self.settings)

    def upload(self, data: bytes, name: str = "network.pkl") -> str:
        path = self.settings.home / name
        path.write_bytes(data)
        return upload(self.db, self.objects, path)

    def imported(self, source: str, name: str = "foreign", **spec: Any) -> Job:
        """An import job at its end."""
        job = submit_request(self.db, ImportGeneratorSpec(source=source, name=name, **spec), tenant=TENANT).job
        InlineWorker(self.db, self.objects).run()
        return view(self.db, job)


@pytest.fixture(autouse=True)
def reading_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that a process takes to load torch; test_hostile_checkpoints.py goes the whole way."""

    def read(path: Path, _folder: Path, answers: Answers, *, should_stop: ShouldStop) -> Imported:
        return import_checkpoint(path, answers, should_stop=should_stop)

    step = importlib.import_module(
        "worker.steps.generators.import_generator"
    )  # the package has the step under this name
    monkeypatch.setattr(step, "import_in_process", read)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.db.close()


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    return writers.nvidia_pickle(writers.nvidia_state(writers.trained()))


def test_an_upload_becomes_a_generator(service: Service, checkpoint: bytes) -> None:
    job = service.imported(service.upload(checkpoint), licence="CC-BY-4.0", domain="noise")
    assert job.state == "succeeded", job.error
    made = get_generator(service.db, "foreign", tenant=TENANT)
    assert (made.id, made.state, made.builtin) == (job.result.generator, "ready", False)
    assert (made.height, made.width, made.licence) == (16, 16, "CC-BY-4.0")
    report = made.info[IMPORTED]
    assert (report["format"], report["file_sha256"]) == ("nvidia-pytorch", hashlib.sha256(checkpoint).hexdigest())
    assert made.info["info"]["domain"] == "noise"
    assert "generator.imported" in [event.name for event in events(service.db, job.id, tenant=TENANT)]
    names = [file.name for file in list_files(service.db, made.id, tenant=TENANT)]
    assert names == ["generator.json", "generator.safetensors", "preview.png", "report.json"]
    assert Image.open(io.BytesIO(content(service.db, service.objects, made.id, PREVIEW))).format == "PNG"
    assert json.loads(content(service.db, service.objects, made.id, "report.json")) == report


def test_defaults_of_sampling_settings_are_given_at_import_or_refused(service: Service, checkpoint: bytes) -> None:
    source = service.upload(checkpoint)
    assert service.imported(source, sampling={"truncation_psi": 0.85}).state == "succeeded"
    made = get_generator(service.db, "foreign", tenant=TENANT)
    assert made.info["info"]["sampling"] == {"truncation_psi": 0.85}
    assert made.info["settings_schema"]["properties"]["truncation_psi"]["default"] == 0.85
    refused = service.imported(source, name="other", sampling={"truncation_psi": 3, "volume": 1})
    assert refused.error is not None
    pointers = {problem.pointer for problem in refused.error.problems}
    assert (refused.error.code, pointers) == ("bad_checkpoint", {"/sampling/truncation_psi", "/sampling/volume"})


#: StyleGAN-Human's layout: twice as high as wide, from a constant of 4 x 2.
PEOPLE = replace(writers.SMALL, resolution=(16, 8), const_size=(4, 2))


@pytest.mark.parametrize("config", [writers.SMALL, PEOPLE], ids=["square", "people"])
def test_jobs_draw_from_an_imported_generator(service: Service, tmp_path: Path, config: StyleGAN2Config) -> None:
    network = writers.trained(config)
    tiny.write_labels(tmp_path / "labels.zip", network)
    job = service.imported(service.upload(writers.nvidia_pickle(writers.nvidia_state(network))), name="tiny")
    assert job.state == "succeeded", job.error
    made = get_generator(service.db, "tiny", tenant=TENANT)
    assert (made.height, made.width) == config.resolution
    attach_perceptual(service, job.result.generator, tmp_path)
    job = generate(service.db, upload(service.db, service.objects, tmp_path / "labels.zip"), count=6)
    InlineWorker(service.db, service.objects).run()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    manifest = json.loads(content(service.db, service.objects, ended.result.dataset, "manifest.json"))
    assert manifest["count"] == 6
    sheet = Image.open(io.BytesIO(content(service.db, service.objects, made.id, PREVIEW)))
    assert sheet.format == "PNG"


def test_import_notes_that_labelling_needs_weights_which_the_worker_lacks(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    large = replace(writers.SMALL, resolution=(32, 32), const_size=(8, 8))
    upload_id = service.upload(writers.nvidia_pickle(writers.nvidia_state(writers.trained(large))))
    job = service.imported(upload_id, name="without")
    (note,) = get_generator(service.db, "without", tenant=TENANT).info[IMPORTED]["notes"]
    assert "no perceptual network of its own" in note
    assert "offhand weights pull vgg" in note
    told = [event.data["text"] for event in events(service.db, job.id, tenant=TENANT) if event.name == "generator.note"]
    assert told == [note]
    (tmp_path / "cache" / "hub").mkdir(parents=True)
    (tmp_path / "cache" / "hub" / "vgg16-397923af.pth").touch()
    service.imported(upload_id, name="with")
    assert get_generator(service.db, "with", tenant=TENANT).info[IMPORTED]["notes"] == []


def test_progress_of_an_import_estimates_what_is_left_by_the_images_drawn() -> None:
    """40 s of reading, then 18 images of half a second: 17 are left after the first, 8.5 s and not 11 minutes."""
    now, reported = [40.0], list[tuple[int, int]]()
    report = in_seconds(lambda done, total: reported.append((done, total)), 0.0, lambda: now[0])
    for done in range(1, 19):
        now[0] += 0.5
        report(done, 18)
    left = [(total - done) for done, total in reported]
    assert left[0] in (8, 9)
    assert left == sorted(left, reverse=True)
    assert reported[-1] == (49, 49)


def test_failing_labelling_job_names_what_to_provide_and_no_temporary_path(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker was heard when the job was accepted, and the one that came has no weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    network = writers.trained(replace(writers.SMALL, resolution=(32, 32), const_size=(8, 8)))
    tiny.write_labels(tmp_path / "labels.zip", network)
    service.imported(service.upload(writers.nvidia_pickle(writers.nvidia_state(network))), name="tiny")
    job = generate(service.db, upload(service.db, service.objects, tmp_path / "labels.zip"), count=6)
    InlineWorker(service.db, service.objects).run()
    error = view(service.db, job).error
    assert error is not None
    assert error.code == "inversion_failed"
    text = error.detail + " ".join(problem.detail + problem.pointer for problem in error.problems)
    assert "offhand weights pull vgg" in text
    assert "OFFHAND_WORKER__PERCEPTUAL_WEIGHTS" in text
    assert tempfile.gettempdir() + "/" not in text


def attach_perceptual(service: Service, generator_id: str, folder: Path) -> None:
    """Without ImageNet weights on the machine a generator needs a perceptual trunk of its own."""
    save_perceptual(folder, DomainPerceptual("tiny-trunk", PerceptualTrunk(((8,), (8,)))))
    kept = []
    for name in ("perceptual.json", "perceptual.safetensors"):
        with (folder / name).open("rb") as file:
            stored = service.objects.put(f"test/{name}", file)
        kept.append(File(generator_id, name, stored.key, stored.bytes, stored.sha256, "application/octet-stream"))
    with service.db.write() as connection:
        add_files(connection, TENANT, kept)


def test_a_hostile_file_fails_the_job_and_says_why(service: Service, tmp_path: Path) -> None:
    hostile = b"\x80\x02cos\nsystem\nX\x05\x00\x00\x00touch\x85R."
    job = service.imported(service.upload(hostile))
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("unsafe_checkpoint", False)
    assert job.error.problems[0].pointer == "os.system"
    assert job.attempts == 1, "no attempt can help"
    assert list_generators(service.db, tenant=TENANT).items == []


def test_a_question_of_the_file_is_asked_and_answered(service: Service, tmp_path: Path) -> None:
    state = {name: tensor.clone().contiguous() for name, tensor in writers.nvidia_state(writers.trained()).items()}
    upload_id = service.upload(save(state), "state.safetensors")
    job = service.imported(upload_id)
    assert job.error is not None
    assert job.error.code == "bad_checkpoint"
    assert [problem.pointer for problem in job.error.problems] == ["mapping_lr_multiplier", "conv_clamp"]
    job = service.imported(upload_id, answers={"mapping_lr_multiplier": 0.01, "conv_clamp": 256})
    assert job.state == "succeeded", job.error


def test_classes_are_named_or_refused(service: Service) -> None:
    network = writers.trained(replace(writers.SMALL, c_dim=2))
    upload_id = service.upload(writers.nvidia_pickle(writers.nvidia_state(network)))
    job = service.imported(upload_id, classes=["one", "two", "three"])
    assert job.error is not None
    assert job.error.problems[0].pointer == "classes"
    service.imported(upload_id, name="nameless")
    notes = get_generator(service.db, "nameless", tenant=TENANT).info[IMPORTED]["notes"]
    assert any("2 classes have no names" in note for note in notes)
    assert service.imported(upload_id, classes=["one", "two"]).state == "succeeded"
    assert get_generator(service.db, "foreign", tenant=TENANT).info["info"]["classes"] == ["one", "two"]


def test_every_problem_of_a_request_is_told(service: Service, checkpoint: bytes) -> None:
    service.imported(service.upload(checkpoint))
    for source, told in (
        ("upl_none", "no upload"),
        ("stylegan9", "known: ada-ffhq"),
        ("https://127.0.0.1/x.pkl", "not a public address"),
        ("http://example.com/x.pkl", "expected an https URL"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            service.imported(source)
        assert [problem.pointer for problem in caught.value.problems] == ["/name", "/source"]
        assert told in caught.value.problems[1].detail


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A web server on this machine that answers with what it is given."""
    answers: dict[str, tuple[int, dict[str, str], list[bytes]]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, bodies = answers[self.path]
            body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(path: str, body: bytes = b"", *later: bytes, status: int = 200, **headers: str) -> str:
        sent = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        answers[path] = (status, sent, [body, *later])
        return f"http://127.0.0.1:{server.server_port}{path}"

    yield serve
    server.shutdown()
    server.server_close()


@pytest.fixture
def trusting(tmp_path: Path) -> Iterator[Service]:
    """A service that may call this machine, and takes files of 100,000 bytes at most."""
    made = Service(
        tmp_path, egress=EgressSettings(trusted_hosts=["127.0.0.1"]), limits=LimitSettings(upload_bytes=100_000)
    )
    yield made
    made.db.close()


def test_from_a_url_behind_a_redirect(trusting: Service, serve: Serve, checkpoint: bytes) -> None:
    serve("/files/real.pkl", checkpoint)
    job = trusting.imported(serve("/latest", status=302, Location="/files/real.pkl"))
    assert job.state == "succeeded", job.error


def test_what_a_url_can_do_wrong(trusting: Service, serve: Serve, checkpoint: bytes) -> None:
    cases = [
        (serve("/gone.pkl", b"no", status=404), "egress_failed", "answers 404"),
        (serve("/huge.pkl", bytes(100_001)), "too_large", "100001 bytes"),
        (serve("/private", status=301, Location="https://10.0.0.1/x.pkl"), "egress_refused", "not a public"),
        (serve("/broken", status=302, Location="http://["), "egress_failed", "not a URL"),
        (serve("/loop", status=302, Location="/loop"), "egress_failed", "redirects more than"),
        (serve("/short.pkl", checkpoint[:1000], Content_Length=str(len(checkpoint))), "egress_failed", "stopped"),
        (serve("/page.pkl", b"<html>sign in first</html>"), "bad_checkpoint", "not a checkpoint"),
    ]
    for number, (url, code, told) in enumerate(cases):
        error = trusting.imported(url, name=f"wrong{number}").error
        assert error is not None
        assert (error.code, told in error.detail) == (code, True), (url, error)
    assert list_generators(trusting.db, tenant=TENANT).items == []


def test_a_redirect_to_a_name_with_a_private_address_is_refused(
    trusting: Service, serve: Serve, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve("/real.pkl", checkpoint).split(":")[2].partition("/")[0]
    asked, resolve = [], socket.getaddrinfo

    def local_resolver(host: str, *arguments: Any, **named: Any) -> Any:
        asked.append(host)
        return resolve("127.0.0.1", *arguments, **named)

    monkeypatch.setattr("socket.getaddrinfo", local_resolver)
    start = serve("/start", status=302, Location=f"https://public.example:{port}/real.pkl")
    error = trusting.imported(start).error
    assert error is not None
    assert (error.code, error.detail) == ("egress_refused", "127.0.0.1 is not a public address")
    assert "public.example" in asked


def test_from_the_catalogue(
    trusting: Service, serve: Serve, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(checkpoint).hexdigest()
    about = {"format": "nvidia-pytorch", "licence": "CC0-1.0", "domain": "noise", "resolution": (16, 16)}
    url = serve("/known.pkl", checkpoint)
    for name, sha256 in (("known", digest), ("other", "0" * 64)):
        entry = CatalogueEntry(name=name, url=url, sha256=sha256, quirks=[], verified=False, **about)
        monkeypatch.setitem(catalogue.catalogue(), name, entry)
    assert trusting.imported("known").state == "succeeded"
    made = get_generator(trusting.db, "foreign", tenant=TENANT)
    assert (made.licence, made.info["info"]["domain"]) == ("CC0-1.0", "noise")
    error = trusting.imported("other", name="other").error
    assert error is not None
    assert error.code == "digest_mismatch"


def test_a_download_with_a_wrong_digest_is_repeated_once(
    trusting: Service, serve: Serve, checkpoint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = bytearray(checkpoint)
    damaged[len(damaged) // 2] ^= 1
    about = {"format": "nvidia-pytorch", "licence": "CC0-1.0", "domain": "noise", "resolution": (16, 16)}
    url = serve("/flaky.pkl", bytes(damaged), checkpoint)
    digest = hashlib.sha256(checkpoint).hexdigest()
    entry = CatalogueEntry(name="flaky", url=url, sha256=digest, quirks=[], verified=False, **about)
    monkeypatch.setitem(catalogue.catalogue(), "flaky", entry)
    job = trusting.imported("flaky")
    assert (job.state, job.attempts) == ("succeeded", 1), job.error


def test_an_unreachable_host_is_named(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: Any, **__: Any) -> Any:
        raise OSError("no network")

    monkeypatch.setattr("socket.getaddrinfo", nowhere)
    error = service.imported("ada-afhqcat").error
    assert error is not None
    assert (error.code, error.retryable) == ("egress_failed", True)
    assert "nvlabs-fi-cdn.nvidia.com cannot be resolved" in error.detail


def test_the_catalogue_is_whole_and_honest() -> None:
    found = catalogue.catalogue()
    assert len(found) >= 15
    for name, entry in found.items():
        assert entry.url.startswith("https://")
        assert entry.licence
        assert entry.domain
        assert ImportGeneratorSpec(source=name, name=name).name == name
        assert not entry.verified, "verified entries need their SHA-256" if entry.sha256 is None else ""


def test_deleting(service: Service, checkpoint: bytes, tmp_path: Path) -> None:
    job = service.imported(service.upload(checkpoint), name="tiny")
    tiny.write_labels(tmp_path / "labels.zip", tiny.write_generator(tmp_path / "shipped"))
    attach_perceptual(service, job.result.generator, tmp_path)
    waiting = generate(service.db, upload(service.db, service.objects, tmp_path / "labels.zip"))
    with pytest.raises(InUse, match=waiting.id):
        delete_generator(service.db, service.objects, "tiny", tenant=TENANT)
    cancel_job(service.db, waiting.id, tenant=TENANT)
    with pytest.raises(NotFound):
        delete_generator(service.db, service.objects, "tiny", tenant="somebody-else")
    delete_generator(service.db, service.objects, "tiny", tenant=TENANT)
    with pytest.raises(NotFound):
        get_generator(service.db, "tiny", tenant=TENANT)
    assert list_files(service.db, job.result.generator, tenant=TENANT) == []


def test_a_name_that_was_taken_meanwhile(service: Service, checkpoint: bytes) -> None:
    upload_id = service.upload(checkpoint)
    job = submit_request(service.db, ImportGeneratorSpec(source=upload_id, name="same"), tenant=TENANT).job
    with pytest.raises(InvalidRequest, match="cannot be imported"):
        submit_request(service.db, ImportGeneratorSpec(source=upload_id, name="same"), tenant=TENANT)
    with service.db.write() as connection:
        add_generator(connection, TENANT, NewGenerator("gen_1", "same", "d" * 64, 16, 16, "", {}))
    InlineWorker(service.db, service.objects).run()
    made = get_generator(service.db, view(service.db, job).result.generator, tenant=TENANT)
    assert made.name == f"same-{made.id[-8:]}"
