"""One bit flipped in a stored object before a step reads it: the object is made again, or the job fails by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from store.job_kinds.draw_samples import DrawSamplesSpec
from store.job_kinds.export import ExportSpec
from store.jobs.claims import Claim
from store.jobs.events import events
from store.jobs.resume import resume_job
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.objects import LocalObjects, verified
from store.resources.datasets import DAMAGED, get_dataset
from store.resources.files import File, files_of, list_files
from store.resources.sample_sets import CODES
from store.sweep import sweep
from store.tables import files, shards
from store.uploads.files import delete_upload
from tests.worker.inline import TENANT, InlineWorker, Service, generate, shard_digests, view
from worker.runtime.supervisor import Supervisor

#: Of each step, what it reads: the resource's kind in the job's result, and the beginning of the file's name.
READ_BY_STEP = [
    ("invert", "label_set", ""),
    ("train_labeler", "label_set", ""),
    pytest.param("train_labeler", "inversion", "codes", marks=pytest.mark.slow),
    ("sample", "labeler", ""),
    ("finalize", "job", "shards/candidates-"),
    pytest.param("finalize", "job", "scores/candidates-", marks=pytest.mark.slow),
    pytest.param("finalize", "label_set", "", marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "PAUSE", 0.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[list[tuple[str, str]]]:
    """Shards of a job whose objects nobody touches."""
    service = Service(tmp_path_factory.mktemp("undisturbed"), material)
    job = generate(service.db, service.labels, count=8)
    service.work()
    yield shard_digests(service.db, job)
    service.db.close()


def flip(service: Service, file: File, bit: int = 0) -> None:
    """Flip one bit in the middle of a stored file."""
    assert isinstance(service.objects, LocalObjects)
    path = service.objects.path(file.key)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << bit
    path.write_bytes(content)


def resource_of(claim: Claim, kind: str) -> str:
    return claim.job_id if kind == "job" else claim.result.ids[kind]


def flips_before(service: Service, step: str, kind: str, prefix: str) -> Callable[[Claim], None]:
    """Flip a bit in each such file, once, before the first attempt at the step."""
    done: list[str] = []

    def before(taken: Claim) -> None:
        if taken.step == step and not done:
            found = list_files(service.db, resource_of(taken, kind), tenant=TENANT, prefix=prefix)
            done.extend(file.key for file in found)
            assert done, "there is something to damage"
            for file in found:
                flip(service, file)

    return before


@pytest.mark.parametrize(("step", "kind", "prefix"), READ_BY_STEP)
def test_flipped_bit_before_a_step_is_made_good(
    service: Service, undisturbed: list[tuple[str, str]], step: str, kind: str, prefix: str
) -> None:
    job = generate(service.db, service.labels, count=8)
    service.work(before=flips_before(service, step, kind, prefix))
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    assert shard_digests(service.db, job) == undisturbed
    log = events(service.db, job.id, tenant=TENANT)
    assert [event.level for event in log if event.name == "object.remade"], "the log names what was made again"
    assert [event.name for event in log].count("job.succeeded") == 1
    with service.db.read() as connection:
        work = connection.execute(select(shards).where(shards.c.job_id == job.id)).all()
        known = set(connection.execute(select(files.c.key)).scalars())
    assert {row.state for row in work} == {"succeeded"}
    assert len({(row.step, row.position) for row in work}) == len(work)
    samples = sorted((row.input["start"], row.input["stop"]) for row in work if row.step == "sample")
    assert samples == [(0, 8), (8, 9)], "no sample is planned twice"
    service.settings.worker.lease_seconds = 0.0
    sweep(service.db, service.objects)
    assert {found.key for found in service.objects.list()} == known, "the damaged object is swept"


class FlakyObjects(LocalObjects):
    """Flips one bit in the first answer for each object."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.flipped: set[str] = set()

    def read(self, key: str, *, start: int = 0, stop: int | None = None, chunk: int = 1 << 18) -> Iterator[bytes]:
        chunks = super().read(key, start=start, stop=stop, chunk=chunk)
        if key not in self.flipped:
            self.flipped.add(key)
            first = bytearray(next(chunks))
            first[len(first) // 2] ^= 1
            yield bytes(first)
        yield from chunks


def test_one_flipped_bit_in_an_answer_costs_no_attempt(service: Service, undisturbed: list[tuple[str, str]]) -> None:
    flaky = FlakyObjects(service.settings.objects_folder)
    job = generate(service.db, service.labels, count=8)
    InlineWorker(service.db, flaky).run()
    ended = view(service.db, job)
    assert (ended.state, ended.attempts) == ("succeeded", 1), ended.error
    assert shard_digests(service.db, job) == undisturbed
    spec = ExportSpec(dataset=ended.result.dataset, format="masks")
    asked = submit_request(service.db, spec, tenant=TENANT).job
    InlineWorker(service.db, flaky).run()
    assert (view(service.db, asked).state, view(service.db, asked).attempts) == ("succeeded", 1)
    assert len(flaky.flipped) > 8


@pytest.mark.slow
def test_what_other_jobs_refer_to_keeps_its_id_when_it_is_made_again(service: Service) -> None:
    first = generate(service.db, service.labels, count=8)
    service.work()
    made = view(service.db, first).result.ids
    for kind in ("label_set", "inversion", "labeler"):
        for file in list_files(service.db, made[kind], tenant=TENANT):
            flip(service, file)
    second = generate(service.db, service.labels, count=8, offset=16)
    service.work()
    ended = view(service.db, second)
    assert ended.state == "succeeded", ended.error
    assert {kind: ended.result.ids[kind] for kind in ("label_set", "inversion", "labeler")} == {
        kind: made[kind] for kind in ("label_set", "inversion", "labeler")
    }
    for kind in ("label_set", "inversion", "labeler"):
        for file in list_files(service.db, made[kind], tenant=TENANT, prefix="" if kind != "inversion" else "codes"):
            verified.read(service.objects, file)


@pytest.mark.parametrize("upload_is_there", [pytest.param(True, marks=pytest.mark.slow), False])
def test_named_label_set_is_read_from_its_upload_again(service: Service, upload_is_there: bool) -> None:
    first = generate(service.db, service.labels, count=8)
    service.work()
    made = view(service.db, first).result.ids
    for file in list_files(service.db, made["label_set"], tenant=TENANT):
        flip(service, file)
    if not upload_is_there:
        delete_upload(service.db, service.objects, service.labels, tenant=TENANT)
    second = generate(service.db, made["label_set"], count=8, inversion={"steps": 4})
    service.work()
    ended = view(service.db, second)
    if upload_is_there:
        assert (ended.state, ended.result.label_set) == ("succeeded", made["label_set"]), ended.error
    else:
        assert ended.error is not None
        assert ended.error.code == "damaged_object"
        assert "upload the labels again" in ended.error.detail


def test_object_damaged_each_time_it_is_made_fails_the_job(service: Service) -> None:
    def before(taken: Claim) -> None:
        if taken.step == "finalize":
            for file in list_files(service.db, taken.job_id, tenant=TENANT, prefix="shards/"):
                service.objects.delete(file.key)
                service.objects.put(file.key, b"never what was stored")

    job = generate(service.db, service.labels, count=8)
    service.work(before=before)
    ended = view(service.db, job)
    assert ended.state == "failed"
    assert ended.error is not None
    assert (ended.error.code, ended.error.retryable) == ("damaged_object", True)
    assert "shards/candidates-" in ended.error.detail
    assert "work/" not in ended.error.detail, "no key of an object"


def test_damaged_upload_is_refused_with_what_to_do(service: Service) -> None:
    (file,) = list_files(service.db, service.labels, tenant=TENANT)
    flip(service, file)
    job = generate(service.db, service.labels, count=8)
    service.work()
    error = view(service.db, job).error
    assert error is not None
    assert error.code == "damaged_object"
    assert "upload the file again" in error.detail
    flip(service, file)
    resume_job(service.db, job.id, tenant=TENANT)
    service.work()
    assert view(service.db, job).state == "succeeded", "once its bytes are right"


def test_damaged_codes_of_samples_are_named(service: Service) -> None:
    drawn = submit_request(service.db, DrawSamplesSpec(generator="tiny", count=4, seed=1), tenant=TENANT).job
    service.work()
    samples = view(service.db, drawn).result.samples
    (file,) = list_files(service.db, samples, tenant=TENANT, prefix=CODES)
    flip(service, file)
    job = generate(service.db, service.labels, count=8, samples=samples)
    service.work()
    error = view(service.db, job).error
    assert error is not None
    assert (error.code, samples in error.detail) == ("damaged_object", True)


@pytest.mark.parametrize("fault", ["flipped", "gone"])
def test_export_of_a_damaged_dataset_names_the_shard_and_marks_the_dataset(service: Service, fault: str) -> None:
    job = generate(service.db, service.labels, count=8)
    service.work()
    dataset = view(service.db, job).result.dataset
    (shard,) = list_files(service.db, dataset, tenant=TENANT, prefix="shards/")
    if fault == "gone":
        service.objects.delete(shard.key)
    else:
        flip(service, shard)
    asked = submit_request(service.db, ExportSpec(dataset=dataset, format="masks"), tenant=TENANT).job
    service.work()
    ended = view(service.db, asked)
    assert ended.error is not None
    assert ended.error.code == "damaged_object"
    assert f"shards/shard-000000.tar of {dataset}" in ended.error.detail
    assert shard.key not in ended.error.detail
    assert list(get_dataset(service.db, dataset, tenant=TENANT).info[DAMAGED]) == ["shards/shard-000000.tar"]


def test_damaged_checkpoint_costs_time_and_not_the_job(
    service: Service, undisturbed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.steps.labeler.train_labeler.CHECKPOINT_EVERY", 2, raising=False)
    worker = InlineWorker(service.db, service.objects)
    worker.stop_at = ("train_labeler", 3)

    def before(taken: Claim) -> None:
        if taken.step == "train_labeler" and taken.attempt == 2:
            with service.db.read() as connection:
                for file in files_of(connection, taken.shard_id, tenant=TENANT):
                    flip(service, file)

    worker.before = before
    job = generate(service.db, service.labels, count=8)
    worker.run()
    assert view(service.db, job).state == "succeeded"
    assert shard_digests(service.db, job) == undisturbed


@pytest.mark.slow
def test_code_of_an_image_inverted_before_is_computed_again_when_damaged(service: Service) -> None:
    first = generate(service.db, service.labels, count=8)
    service.work()
    (codes,) = list_files(service.db, view(service.db, first).result.inversion, tenant=TENANT, prefix="codes")
    flip(service, codes)
    # Other thresholds: another inversion, of images whose codes are known.
    job = generate(service.db, service.labels, count=8, inversion={"steps": 8, "max_lpips": 9.0})
    service.work()
    ended: Job = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    assert ended.result.inversion != view(service.db, first).result.inversion


@pytest.mark.slow
def test_supervisor_and_child_make_a_damaged_object_again(service: Service, undisturbed: list[tuple[str, str]]) -> None:
    job = generate(service.db, service.labels, count=8)
    supervisor = Supervisor(service.settings, service.db, service.objects)
    flipped = False
    try:
        while supervisor.run_next():
            candidates = list_files(service.db, job.id, tenant=TENANT, prefix="shards/")
            if len(candidates) == 2 and not flipped:
                flip(service, candidates[0])
                flipped = True
    finally:
        supervisor.close()
    assert view(service.db, job).state == "succeeded", view(service.db, job).error
    assert shard_digests(service.db, job) == undisturbed
    assert "object.remade" in [event.name for event in events(service.db, job.id, tenant=TENANT)]
