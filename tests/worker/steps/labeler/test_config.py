"""What a job can ask of its labeler, through the real steps: it is done, or told before anything costly is begun."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from core.datasets.shards import StoredSample, read_shard
from core.labeling.files import load_labeler
from core.sampling.composition import Demand
from core.tasks.presets import COLLAPSES
from store.errors import InvalidRequest, NotReady
from store.job_kinds.assess_labeler import AssessLabelerSpec
from store.job_kinds.train_labeler import TrainLabelerSpec
from store.jobs.submit import submit_request
from store.jobs.views import Job
from store.requests.inversion import InversionSpec
from store.requests.labeler import CollapsePreset, LabelerSpec
from store.resources.artifacts import get_labeler
from store.resources.datasets import MANIFEST
from store.resources.files import list_files
from store.resources.labelers import get_labeler_report
from store.resources.quality_reports import REPORT_HTML, REPORT_JSON, REPORT_PNG
from tests.worker.inline import TENANT, Service, content, generate, shard_digests, view

SWAPPED = [{"name": "light", "of": ["bright"]}, {"name": "rest", "of": ["dark"]}]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("labelers"), material)
    yield made
    made.db.close()


@pytest.fixture(scope="module")
def plain(service: Service) -> list[StoredSample]:
    return _samples(service, _done(service))


def _done(service: Service, **labeler: Any) -> Job:
    job = generate(service.db, service.labels, count=8, labeler={"members": 2, "max_steps": 20, **labeler})
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    return ended


def _samples(service: Service, job: Job) -> list[StoredSample]:
    ((name, _),) = shard_digests(service.db, job)
    return list(read_shard(io.BytesIO(content(service.db, service.objects, job.result.dataset, name))))


@pytest.mark.parametrize("when", ["before_training", "after_voting"])
def test_classes_are_collapsed_before_training_or_after_voting(
    service: Service, plain: list[StoredSample], tmp_path: Path, when: str
) -> None:
    job = _done(service, collapse={"classes": SWAPPED, "when": when})
    found = _samples(service, job)
    manifest = json.loads(content(service.db, service.objects, job.result.dataset, MANIFEST))
    assert [one["name"] for one in manifest["classes"]] == ["light", "rest"]
    for file in list_files(service.db, job.result.labeler, tenant=TENANT):
        (tmp_path / file.name).write_bytes(b"".join(service.objects.read(file.key)))
    loaded = load_labeler(tmp_path)
    assert [one["name"] for one in loaded.info.classes["classes"]] == ["light", "rest"]
    if when == "after_voting":
        assert loaded.labeler.collapse is not None
        for one, other in zip(found, plain, strict=True):
            assert np.array_equal(one.mask(), 1 - other.mask())
            assert one.record()["uncertainty"] == other.record()["uncertainty"]
    assert {int(one) for sample in found for one in np.unique(sample.mask())} == {0, 1}
    assert sum(int((one.mask() == 0).sum()) for one in found) == sum(
        one.record()["pixels"].get("0", 0) for one in found
    )


def test_settings_reach_the_labeler(service: Service) -> None:
    asked = {
        "members": 4,
        "keep_members": 3,
        "hidden": [6],
        "layers": ["constant", "blocks.1.conv0"],
        "max_channels": 4,
        "precision": "bfloat16",
        "aggregation": "mean",
        "score": "class_mean",
        "class_balance": 0.0,
        "balance_by": "sampling",
    }
    job = _done(service, **asked)
    info = get_labeler(service.db, job.result.labeler, tenant=TENANT).info
    settings = info["settings"]
    assert {name: settings[name] for name in asked if name not in ("members", "keep_members")} == {
        name: value for name, value in asked.items() if name not in ("members", "keep_members")
    }
    assert (settings["members"], settings["max_steps"], info["channels"]) == (3, 20, 8)
    again = _done(service, **asked)
    assert again.result.labeler == job.result.labeler
    assert _done(service, **{**asked, "keep_members": 2}).result.labeler != job.result.labeler


def test_a_labeler_alone_is_trained_and_judged_and_used_by_a_later_job(service: Service) -> None:
    settings = {"members": 2, "max_steps": 25}
    asked = TrainLabelerSpec(
        labels=service.labels, generator="tiny", inversion=InversionSpec(steps=8), labeler=LabelerSpec(**settings),
        folds=2, force=True,
    )  # fmt: skip
    job = submit_request(service.db, asked, tenant=TENANT).job
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded", ended.error
    labeler = ended.result.labeler
    get_labeler_report(service.db, labeler, REPORT_HTML, tenant=TENANT)
    assert ended.result.dataset is None
    assert _done(service, **settings).result.labeler == labeler


@pytest.mark.parametrize(
    ("labeler", "code", "pointers"),
    [
        ({"layers": ["constant", "blocks.9.conv0", "rgb"]}, "bad_labeler", {"blocks.9.conv0", "rgb"}),
        ({"keep_members": 11}, "bad_labeler", {"/labeler/keep_members"}),
        ({"collapse": {"preset": "car_parts_10"}}, None, None),
        ({"collapse": {"classes": [SWAPPED[0], {"name": "x", "of": ["hat"]}]}}, "bad_label_set", {"x"}),
        (
            {"collapse": {"classes": [{"name": "x", "of": ["dark"]}, {"name": "y", "of": ["night"]}]}},
            "bad_label_set",
            {"y"},
        ),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_inverted(
    service: Service, labeler: dict[str, Any], code: str | None, pointers: set[str] | None
) -> None:
    job = generate(service.db, service.labels, count=4, labeler={"max_steps": 5, **labeler})
    service.work()
    ended = view(service.db, job)
    if code is None:  # ids 0 and 1 have their places in the table
        assert ended.state == "succeeded", ended.error
        return
    assert ended.error is not None
    assert (ended.state, ended.error.code, ended.steps[0].state) == ("failed", code, "failed")
    assert {problem.pointer for problem in ended.error.problems} == pointers


def test_a_known_label_set_is_judged_when_the_job_is_posted(service: Service) -> None:
    label_set = _done(service).result.label_set
    collapse = {"classes": [SWAPPED[0], {"name": "x", "of": ["hat", "dark"]}]}
    wish = {"composition": [{"class": "dark", "min_fraction": 0.1}, {"class": "x", "min_fraction": 0.1}]}
    with pytest.raises(InvalidRequest) as refused:
        generate(service.db, label_set, labeler={"collapse": collapse}, **wish)
    assert [problem.pointer for problem in refused.value.problems] == [
        "/labeler/collapse/classes/1/of",
        "/composition/0/class",
    ]


def test_drop_per_class_keeps_a_class_that_only_uncertain_images_show(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delivered(count: int, drop_fraction: float, **spec: Any) -> dict[int, dict[str, Any]]:
        labeler = {"members": 2, "score": "sum", "train_on_all": False}
        job = generate(service.db, service.labels, count=count, drop_fraction=drop_fraction, labeler=labeler, **spec)
        service.work()
        ended = view(service.db, job)
        assert ended.state == "succeeded", ended.error
        assert (ended.counts.done, ended.counts.rejected) == (count, 20 - count)
        shards = [
            content(service.db, service.objects, ended.result.dataset, name)
            for name, _ in shard_digests(service.db, job)
        ]
        return {one.index: one.record() for shard in shards for one in read_shard(io.BytesIO(shard))}

    rows = delivered(20, 0.0)
    dark = {index: row["pixels"].get("0", 0) / sum(row["pixels"].values()) for index, row in rows.items()}
    most_certain = set(sorted(rows, key=lambda index: rows[index]["uncertainty"])[:10])

    def showing(least: float) -> set[int]:
        return {index for index, share in dark.items() if share >= least}

    # The smallest part of an image above which the ten most certain images show the class too rarely.
    least = min(one for one in dark.values() if len(showing(one) & most_certain) < len(showing(one)) // 2)

    @dataclass(frozen=True)
    class LargeDemand(Demand):
        min_area: float = least

    monkeypatch.setattr("core.sampling.filtering.Demand", LargeDemand)
    assert set(delivered(10, 0.5, drop_per_class=False)) == most_certain
    kept = set(delivered(10, 0.5, drop_per_class=True))
    assert len(kept & showing(least)) == len(showing(least)) // 2 > len(most_certain & showing(least))


def test_a_labeler_is_judged_by_cross_validation(service: Service) -> None:
    labeler = _done(service).result.labeler
    with pytest.raises(NotReady, match="POST /v1/labelers"):
        get_labeler_report(service.db, labeler, REPORT_HTML, tenant=TENANT)
    made = []
    for folds, dies in ((3, set()), (6, set()), (3, {"assess_labeler"})):
        job = submit_request(service.db, AssessLabelerSpec(labeler=labeler, folds=folds), tenant=TENANT).job
        service.work(die_after=dies)
        assert view(service.db, job).state == "succeeded", view(service.db, job).error
        file = get_labeler_report(service.db, labeler, REPORT_JSON, tenant=TENANT)
        made.append(json.loads(b"".join(service.objects.read(file.key))))
        assert made[-1]["report"] == job.id
    assert (made[0]["images"], made[0]["folds"], made[1]["folds"]) == (6, 3, 6)
    classes = made[0]["segmentation"]["classes"]
    assert [row["name"] for row in classes] == ["dark", "bright"]
    assert made[0]["segmentation"]["mean_iou"] == pytest.approx(sum(row["iou"] for row in classes) / 2)
    assert sum(made[0]["reliability"]["share"]) == pytest.approx(1)
    assert {**made[2], "report": ""} == {**made[0], "report": ""}, "an attempt that died does not show"
    page, picture = (get_labeler_report(service.db, labeler, name, tenant=TENANT) for name in (REPORT_HTML, REPORT_PNG))
    assert b"".join(service.objects.read(page.key)).startswith(b"<!doctype html>")
    assert b"".join(service.objects.read(picture.key)).startswith(b"\x89PNG")


def test_every_preset_can_be_asked_for() -> None:
    assert set(get_args(CollapsePreset)) == set(COLLAPSES)
