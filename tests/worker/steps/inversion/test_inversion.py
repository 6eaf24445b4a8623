"""The step that inverts: it goes on after a crash, finds images again, and keeps a gate."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.inversion.objective import Objective
from store.database.database import Database
from store.jobs.claims import Claim, claim
from store.jobs.events import events
from store.jobs.views import Job
from store.requests.inversion import InversionSpec
from store.resources.artifacts import Made, get_inversion, get_labeler
from store.resources.reports import InversionReport, inversion_report
from tests.core.checkpoints.writers import trained
from tests.worker.inline import TENANT, InlineWorker, Service, content, generate, upload, view
from worker.loading import CODES
from worker.runtime.step_context import StepContext
from worker.steps.labeler.training_set import usable_mirrors

invert_step = import_module("worker.steps.inversion.invert")


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each step of refinement looked at."""
    sizes: list[int] = []
    losses = Objective.losses

    def counted(self: Objective, codes: Tensor, *rest: Any) -> Any:
        if torch.is_grad_enabled():
            sizes.append(len(codes))
        return losses(self, codes, *rest)

    monkeypatch.setattr(Objective, "losses", counted)
    return sizes


def some_labels(material: Path, target: Path, names: list[str]) -> Path:
    """An archive with some of the labelled images."""
    with zipfile.ZipFile(material / "labels.zip") as whole, zipfile.ZipFile(target, "w") as part:
        part.writestr("classes.json", whole.read("classes.json"))
        for name in names:
            for folder in ("images", "masks"):
                part.writestr(f"{folder}/{name}.png", whole.read(f"{folder}/{name}.png"))
    return target


def codes(service: Service, job: Job) -> Tensor:
    inversion = view(service.db, job).result.inversion
    return safetensors.torch.load(content(service.db, service.objects, inversion, CODES))["w_plus"]


def log(db: Database, job: Job) -> dict[str, dict[str, Any]]:
    return {event.name: event.data for event in events(db, job.id, tenant=TENANT)}


def step_through(service: Service, worker: InlineWorker, *steps: str) -> None:
    """Do the next shards, which are of these steps."""
    for number, step in enumerate(steps):
        taken = claim(service.db, "inline")
        assert taken is not None
        assert taken.step == step
        folder = service.settings.home / f"{taken.shard_id}-{taken.attempt}-{number}"
        folder.mkdir()
        worker._do(taken, folder)


def test_an_inversion_that_was_interrupted_goes_on_from_its_checkpoint(
    service: Service, tmp_path: Path, material: Path, monkeypatch: pytest.MonkeyPatch, looked_at: list[int]
) -> None:
    undisturbed = Service(tmp_path / "undisturbed", material)
    reference = generate(undisturbed.db, undisturbed.labels)
    step_through(undisturbed, InlineWorker(undisturbed.db, undisturbed.objects), "validate", "invert")
    whole = sum(looked_at)
    looked_at.clear()

    monkeypatch.setattr(invert_step, "CHECKPOINT_EVERY", 3)
    job = generate(service.db, service.labels)
    worker = InlineWorker(service.db, service.objects)
    worker.stop_at = ("invert", 3)  # half of the work on six images: four of eight steps
    step_through(service, worker, "validate", "invert", "invert")
    assert "step.succeeded" in log(service.db, job)
    # One step, the fourth, was made twice; and the memory of one image was measured once more.
    assert sum(looked_at) == whole + 12 + 1
    assert torch.equal(codes(service, job), codes(undisturbed, reference))
    kept = [stored for stored in service.objects.list() if "checkpoint" in stored.key]
    assert not kept, "a checkpoint that has served is gone"
    undisturbed.db.close()


def test_progress_of_an_inversion_counts_labelled_images(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(service.db, service.labels)
    worker = InlineWorker(service.db, service.objects)
    shown: list[tuple[int, int]] = []
    context = worker.context

    def watched(taken: Claim, folder: Path) -> StepContext:
        return replace(context(taken, folder), progress=lambda done, total: shown.append((done, total)))

    step_through(service, worker, "validate")
    monkeypatch.setattr(worker, "context", watched)
    step_through(service, worker, "invert")
    assert {total for _, total in shown} == {6}
    assert [done for done, _ in shown] == sorted(done for done, _ in shown)
    assert shown[-1] == (6, 6)


def test_labels_that_the_generator_cannot_redraw_stop_the_job_before_training(
    service: Service, looked_at: list[int]
) -> None:
    job = generate(service.db, service.labels, force=False)
    service.work()
    failed = view(service.db, job)
    assert failed.error is not None
    assert (failed.state, failed.error.code, failed.error.retryable) == ("failed", "poor_reconstruction", False)
    inversion = get_inversion(service.db, failed.result.inversion, tenant=TENANT)
    measured = f"{inversion.info['median_psnr']:.1f} dB"
    for words in (measured, "18 dB", "force: true", "--force"):
        assert words in failed.error.detail
    assert [step.state for step in failed.steps] == ["succeeded", "succeeded", "failed", "canceled", "canceled"]
    assert failed.result.labeler is None
    worst = min(inversion.info["per_image"], key=lambda row: row["psnr"])
    assert failed.error.problems[0].pointer == worst["name"]
    assert all(problem.picture for problem in failed.error.problems)
    looked_at.clear()
    forced = generate(service.db, service.labels, force=True, count=2)
    service.work()
    ended = view(service.db, forced)
    assert ended.state == "succeeded", ended.error
    assert not looked_at, "the inversion of the job that was stopped is used again"
    assert ended.result.quality is not None
    assert any("cannot redraw" in words for words in ended.result.quality.do_not_use)


def test_the_limit_of_reconstructions_can_be_configured(tmp_path: Path, material: Path) -> None:
    lenient = Service(tmp_path, material, min_reconstruction_psnr=5.0)
    job = generate(lenient.db, lenient.labels, force=False, count=2)
    lenient.work()
    assert view(lenient.db, job).state == "succeeded"
    lenient.db.close()


def test_an_image_is_inverted_once_whatever_set_it_comes_in(
    service: Service, material: Path, tmp_path: Path, looked_at: list[int]
) -> None:
    first = generate(
        service.db,
        upload(service.db, service.objects, some_labels(material, tmp_path / "a.zip", ["00", "01", "02", "03"])),
        count=2,
    )
    service.work()
    assert max(looked_at) == 8, "four, and their mirror images"
    looked_at.clear()
    second = generate(
        service.db,
        upload(service.db, service.objects, some_labels(material, tmp_path / "b.zip", ["02", "03", "04"])),
        count=2,
    )
    service.work()
    assert max(looked_at) == 2, "one image was new, and its mirror image"
    assert torch.equal(codes(service, second)[:2], codes(service, first)[2:])
    old, new = (
        get_inversion(service.db, view(service.db, job).result.inversion, tenant=TENANT) for job in (first, second)
    )
    assert old.id != new.id
    assert new.info["reused_images"] == 2
    rows = new.info["per_image"]
    assert [row["reused_from"] for row in rows] == [old.id, old.id, None]
    for mine, theirs in zip(rows[:2], old.info["per_image"][2:], strict=True):
        assert {k: v for k, v in mine.items() if k != "reused_from"} == {
            k: v for k, v in theirs.items() if k != "reused_from"
        }
    assert log(service.db, second)["inversion.finished"]["reused_images"] == 2
    looked_at.clear()
    other = generate(service.db, view(service.db, second).result.label_set, count=2, inversion={"steps": 9})
    service.work()
    assert view(service.db, other).state == "succeeded"
    assert max(looked_at) == 6, "other settings, other codes"


def test_a_labeler_learns_from_mirror_images_as_well(service: Service, looked_at: list[int]) -> None:
    job = generate(service.db, service.labels, count=2)
    service.work()
    inversion = get_inversion(service.db, view(service.db, job).result.inversion, tenant=TENANT)
    names = [row["name"] for row in inversion.info["per_image"]]
    assert [row["name"] for row in inversion.info["mirrored"]] == names
    tensors = safetensors.torch.load(content(service.db, service.objects, inversion.id, CODES))
    assert tensors["mirrored.w_plus"].shape == tensors["w_plus"].shape
    assert not torch.equal(tensors["mirrored.w_plus"], tensors["w_plus"])
    labeler = get_labeler(service.db, view(service.db, job).result.labeler, tenant=TENANT)
    assert labeler.info["mirrored"] == names
    looked_at.clear()
    plain = generate(service.db, service.labels, count=2, inversion={"steps": 8, "mirror": False})
    service.work()
    assert not looked_at, "the codes of the images themselves are there"
    inversion = get_inversion(service.db, view(service.db, plain).result.inversion, tenant=TENANT)
    assert inversion.info["mirrored"] == []
    other = get_labeler(service.db, view(service.db, plain).result.labeler, tenant=TENANT)
    assert other.info["mirrored"] == []
    assert labeler.info["held_out"]["images"] == other.info["held_out"]["images"], "on the images themselves"
    assert labeler.info["pixels"] == 2 * other.info["pixels"]


def test_a_mirror_image_that_is_lost_teaches_nothing() -> None:
    def inverted(flagged: str, mirrored: str | None) -> InversionReport:
        """Images and mirror images by a letter each, those that are flagged as capitals."""
        rows, more = (
            [{"name": letter, "psnr": 20.0, "perceptual": 0.1, "flagged": letter.isupper()} for letter in some]
            for some in (flagged, mirrored or "")
        )
        info: dict[str, Any] = {"images": len(rows), "flagged": 0, "median_psnr": 20.0, "perceptual_name": "any"}
        info |= {"per_image": rows, **({} if mirrored is None else {"mirrored": more})}
        return inversion_report(Made("inversion", "inv_1", "", info, datetime.now(UTC), {}))

    assert usable_mirrors(inverted("abc", "aBc"), [0, 1, 2], drop_flagged=True) == [0, 2]
    assert usable_mirrors(inverted("abc", "aBc"), [0, 1, 2], drop_flagged=False) == [0, 1, 2]
    assert usable_mirrors(inverted("abC", "abC"), [0, 1], drop_flagged=True) == [0, 1]
    assert usable_mirrors(inverted("ABc", "ABc"), [0, 1, 2], drop_flagged=True) == [0, 1, 2], "too few would stay"
    assert usable_mirrors(inverted("abc", ""), [0, 1], drop_flagged=True) == []
    assert usable_mirrors(inverted("abc", None), [0, 1], drop_flagged=True) == [], "made by an older version"


def test_a_gate_drops_what_is_beyond_it_and_says_why(service: Service, looked_at: list[int]) -> None:
    free = generate(service.db, service.labels, count=2)
    service.work()
    inversion = get_inversion(service.db, view(service.db, free).result.inversion, tenant=TENANT)
    labeler = get_labeler(service.db, view(service.db, free).result.labeler, tenant=TENANT)
    assert labeler.info["dropped"] == []
    assert "all are used" in labeler.info["dropping"], "these eight steps leave every image poor"
    distances = {row["name"]: row["perceptual"] for row in inversion.info["per_image"]}
    limit = sorted(distances.values())[3]
    looked_at.clear()
    gated = generate(service.db, service.labels, count=2, inversion={"steps": 8, "max_lpips": limit})
    service.work()
    assert not looked_at, "a gate judges codes that are there"
    ended = view(service.db, gated)
    assert ended.state == "succeeded", ended.error
    labeler = get_labeler(service.db, ended.result.labeler, tenant=TENANT)
    beyond = sorted(name for name, distance in distances.items() if distance > limit)
    assert [row["name"] for row in labeler.info["dropped"]] == beyond
    assert len(beyond) == 2
    assert all(f"above {limit:g}" in row["why"] for row in labeler.info["dropped"])
    assert log(service.db, gated)["images.dropped"]["images"] == labeler.info["dropped"]
    kept = generate(
        service.db, service.labels, count=2, inversion={"steps": 8, "max_lpips": limit, "drop_flagged": False}
    )
    service.work()
    assert get_labeler(service.db, view(service.db, kept).result.labeler, tenant=TENANT).info["dropped"] == []


def test_a_gate_that_leaves_fewer_than_two_images_fails_the_job_in_words(service: Service) -> None:
    job = generate(service.db, service.labels, count=2, inversion={"steps": 2, "max_lpips": 0.0})
    service.work()
    ended = view(service.db, job)
    assert (ended.state, ended.attempts) == ("failed", 1)
    assert ended.error is not None
    assert ended.error.code == "inversion_failed"
    assert "only 0 of 6" in ended.error.detail
    assert "raise it" in ended.error.detail
    assert {problem.pointer for problem in ended.error.problems} == {f"0{i}" for i in range(6)}
    assert ended.result.inversion, "its pictures can be looked at, and its codes be used again"


def test_settings_reach_the_refinement(service: Service) -> None:
    job = generate(service.db, service.labels, count=2, inversion={"steps": 3, "space": "w", "constraint": "none"})
    service.work()
    inversion = get_inversion(service.db, view(service.db, job).result.inversion, tenant=TENANT)
    assert all(row["radius"] is None for row in inversion.info["per_image"])
    found = codes(service, job)
    assert torch.equal(found, found[:, :1].expand_as(found))


def test_the_generator_says_where_codes_lie_and_a_job_may_say_otherwise() -> None:
    info = GeneratorInfo(name="tiny", options={"space": "w"})
    sampler = StyleGAN2Generator(trained(), info).bind()
    assert invert_step._config(InversionSpec(), sampler).one_row
    assert not invert_step._config(InversionSpec(space="w_plus"), sampler).one_row
