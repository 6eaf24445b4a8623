"""Datasets with wishes for their content: more is drawn where it is short, to the same bytes however the work was cut,
and what cannot be met ends the job with the numbers.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.datasets.shards import read_shard
from store.errors import InvalidRequest
from store.job_kinds.check_labels import CheckLabelsSpec
from store.jobs.events import events
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.resources.datasets import CARD, get_dataset
from store.resources.files import list_files
from tests.worker.inline import TENANT, Service, content, generate, shard_digests, upload, view

BRIGHT = 1


@pytest.fixture(autouse=True)
def looks_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few images tell enough."""
    monkeypatch.setattr("store.job_kinds.generate.PILOT", 8)
    monkeypatch.setattr("core.sampling.composition.PILOT", 8)


@pytest.fixture(scope="module")
def areas(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[list[float]]:
    """Share of the bright class in each of the first 40 samples of the stream."""
    service = Service(tmp_path_factory.mktemp("all"), material)
    job = generate(service.db, service.labels, count=40, drop_fraction=0.0)
    service.work()
    yield [area for _, area, _ in _delivered(service, job)]
    service.db.close()


def _delivered(service: Service, job: Job) -> list[tuple[int, float, float]]:
    """(index, share of the bright class, uncertainty) of every image of the dataset."""
    rows = []
    for name, _ in shard_digests(service.db, job):
        shard = content(service.db, service.objects, view(service.db, job).result.dataset, name)
        for one in read_shard(io.BytesIO(shard)):
            record = one.record()
            share = record["pixels"].get(str(BRIGHT), 0) / sum(record["pixels"].values())
            rows.append((one.index, share, record["uncertainty"]))
    return rows


def _rare(areas: list[float]) -> float:
    """An area that about a third of the images reach."""
    return sorted(areas)[-13]


def _bright(**more: Any) -> dict[str, Any]:
    return {"composition": [{"class": "bright", **more}]}


@pytest.mark.parametrize("worker", [{"shard_images": 4}, {"shard_images": 1000}])
def test_more_is_drawn_until_the_wish_is_met(
    areas: list[float], material: Path, tmp_path: Path, worker: dict[str, Any]
) -> None:
    least = _rare(areas)
    wish = _bright(min_fraction=0.75, min_area=least)
    service = Service(tmp_path / "one", material, **worker)
    job = generate(service.db, service.labels, count=12, **wish)
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    delivered = _delivered(service, job)
    assert len(delivered) == 12
    assert sum(area >= least for _, area, _ in delivered) >= 9
    assert ended.counts.done + ended.counts.rejected == ended.counts.total > 14, "more than the filter alone needs"
    log = events(service.db, job.id, tenant=TENANT, limit=1000)
    info = get_dataset(service.db, ended.result.dataset, tenant=TENANT).info
    assert info["dropped"]["uncertain"] + info["dropped"]["composition"] == ended.counts.rejected
    assert info["dropped"]["composition"] > 0
    card = content(service.db, service.objects, ended.result.dataset, CARD).decode()
    assert f"{info['dropped']['composition']} for the composition" in card
    looks = [event.data for event in log if event.name == "dataset.prevalence"]
    assert looks[0]["candidates"] == 8
    assert looks[0]["found"][0]["shown"] == sum(area >= least for area in areas[:8])
    assert looks[-1]["wanted"] == ended.counts.total
    assert get_dataset(service.db, ended.result.dataset, tenant=TENANT).info["next_offset"] == ended.counts.total
    assert list_files(service.db, job.id, tenant=TENANT) == [], "candidates and scores are gone"
    disturbed = Service(tmp_path / "two", material, shard_images=8)
    same = generate(disturbed.db, disturbed.labels, count=12, **wish)
    disturbed.work(die_after={"sample", "finalize"})
    assert shard_digests(disturbed.db, same) == shard_digests(service.db, job)
    disturbed.db.close()
    service.db.close()


def test_what_the_generator_does_not_draw_is_refused_with_numbers(service: Service) -> None:
    job = generate(service.db, service.labels, count=50, **_bright(min_fraction=0.5, min_area=1.0))
    service.work()
    ended = view(service.db, job)
    assert ended.state == "failed"
    assert ended.error is not None
    assert (ended.error.code, ended.attempts) == ("bad_sampling", 1)
    (problem,) = ended.error.problems
    assert problem.pointer == "class 'bright'"
    assert "25 images are needed and 500 may be drawn; 0 of 8 drawn images are it" in problem.detail
    assert get_dataset(service.db, ended.result.dataset, tenant=TENANT).state == "partial", "the look is kept"


def test_tries_are_bounded(areas: list[float], service: Service) -> None:
    wish = _bright(min_fraction=1.0, min_area=sorted(areas)[-2])
    job = generate(service.db, service.labels, count=6, max_candidates=16, **wish)
    service.work()
    ended = view(service.db, job)
    assert ended.state == "failed"
    assert ended.counts.total <= 16


def test_uncertain_images_are_drawn_for_again(service: Service) -> None:
    plain = generate(service.db, service.labels, count=20)
    service.work()
    limit = sorted(score for _, _, score in _delivered(service, plain))[9]
    job = generate(service.db, service.labels, count=20, max_uncertainty=limit)
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    assert max(score for _, _, score in _delivered(service, job)) <= limit
    assert ended.counts.total > 23


def _check(service: Service, labels: str, **spec: Any) -> Job:
    """A job that checks labels, at its end."""
    asked = CheckLabelsSpec(labels=labels, generator="tiny", **spec)
    job = submit_request(service.db, asked, tenant=TENANT).job
    service.work()
    return view(service.db, job)


def test_a_check_of_labels_finds_unknown_classes_and_bad_archives_and_draws_nothing(
    service: Service, tmp_path: Path
) -> None:
    wrong = _check(service, service.labels, composition=[{"class": "hat", "min_fraction": 0.1}])
    assert wrong.error is not None
    assert [problem.pointer for problem in wrong.error.problems] == ["/composition/0/class"]
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("images/a.png", b"no image")
    unusable = _check(service, upload(service.db, service.objects, tmp_path / "bad.zip"))
    assert unusable.error is not None
    assert unusable.error.code == "bad_label_set"
    sound = _check(service, service.labels, **_bright(min_fraction=0.5))
    assert (sound.state, set(sound.result.ids)) == ("succeeded", {"label_set"})
    assert [step.name for step in sound.steps] == ["validate"]


def test_classes_that_are_not_there_are_named(service: Service) -> None:
    wish = {"composition": [{"class": "hat", "min_fraction": 0.1}, {"class": "bright", "min_fraction": 0.1}]}
    job = generate(service.db, service.labels, **wish)
    service.work()
    failed = view(service.db, job)
    assert failed.error is not None
    assert [(problem.pointer, failed.steps[0].state) for problem in failed.error.problems] == [
        ("/composition/0/class", "failed")
    ]
    known = generate(service.db, service.labels)
    service.work()
    label_set = view(service.db, known).result.label_set
    with pytest.raises(InvalidRequest) as refused:
        generate(service.db, label_set, count=20, max_candidates=21, **wish)
    assert [problem.pointer for problem in refused.value.problems] == ["/composition/0/class", "/max_candidates"]
