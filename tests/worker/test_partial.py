"""Some images cannot be made: a job that may be partial delivers the others, and says so wherever it says anything."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from core.datasets.shards import read_shard
from store.jobs.commits import StepResult
from store.resources.datasets import MANIFEST, get_dataset
from tests.worker.inline import TENANT, Service, content, generate, shard_digests, view
from worker.runtime.step_context import StepContext
from worker.steps import STEPS

#: The samples of the second shard; candidates are 23, in shards of 8.
BAD = range(8, 16)


@pytest.fixture
def broken_second_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator's 9th to 16th samples cannot be drawn, however often it is tried."""
    sample = STEPS["sample"]

    def broken(context: StepContext) -> StepResult:
        if context.claim.input["start"] == BAD.start:
            raise RuntimeError("an error of the device")
        return sample(context)

    monkeypatch.setitem(STEPS, "sample", broken)
    # Cut evenly, however fast the machine is.
    monkeypatch.setattr("store.job_kinds.generate_shards._MOST", 8)


def _indices(service: Service, job: Any) -> list[int]:
    dataset = view(service.db, job).result.dataset
    return [
        one.index
        for name, _ in shard_digests(service.db, job)
        for one in read_shard(io.BytesIO(content(service.db, service.objects, dataset, name)))
    ]


@pytest.mark.usefixtures("broken_second_shard")
def test_a_partial_job_delivers_what_could_be_made(service: Service) -> None:
    job = generate(service.db, service.labels, count=20, allow_partial=True)
    service.work()
    ended = view(service.db, job)
    assert ended.state == "succeeded"
    # 15 of 23 candidates: the same part of them is kept as of all.
    assert (ended.counts.total, ended.counts.done, ended.counts.rejected, ended.counts.failed) == (23, 13, 2, 8)
    found = _indices(service, job)
    assert len(found) == 13
    assert found == sorted(found)
    assert not set(found) & set(BAD)
    assert max(found) > BAD.stop
    dataset = get_dataset(service.db, ended.result.dataset, tenant=TENANT)
    assert (dataset.info["count"], dataset.info["candidates"], dataset.info["next_offset"]) == (13, 15, 23)
    assert "The dataset is not complete: 13 of 20 images are there." in dataset.info["warnings"]
    manifest = json.loads(content(service.db, service.objects, dataset.id, MANIFEST))
    assert (manifest["complete"], manifest["count"]) == (False, 13)


@pytest.mark.usefixtures("broken_second_shard")
def test_without_leave_the_job_fails_and_can_be_resumed(service: Service) -> None:
    job = generate(service.db, service.labels, count=20)
    service.work()
    ended = view(service.db, job)
    assert (ended.state, ended.attempts) == ("failed", 3)
    assert ended.error is not None
    assert "an error of the device" in ended.error.detail
