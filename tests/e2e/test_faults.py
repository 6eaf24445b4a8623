"""Whatever dies, the job ends with the dataset of a run without faults, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offhand.sdk.client import Client
from tests.e2e import tiny
from tests.e2e.conftest import COUNT, SETTINGS, Material, Undisturbed, digests
from tests.e2e.processes import Up, is_running, service


def _start(up: Up, material: Material) -> str:
    with Client(up.url) as client:
        return str(client.datasets.generate(material.labels, tiny.NAME, COUNT, **SETTINGS)["id"])


def _step_runs(name: str) -> Callable[[dict[str, Any]], bool]:
    def runs(job: dict[str, Any]) -> bool:
        return any(step["name"] == name and step["state"] == "running" for step in job["steps"])

    return runs


def _ends_like(undisturbed: Undisturbed, up: Up, job: str) -> None:
    """The job succeeds with the undisturbed run's counts and bytes, and no object is left that nothing refers to."""
    with Client(up.url) as client:
        ended = client.jobs.wait(job, timeout=180)
        manifest = client.datasets.manifest(ended["result"]["dataset"])
    assert ended["counts"] == undisturbed.job["counts"]
    assert digests(manifest) == digests(undisturbed.manifest)


def _process(up: Up, module: str) -> int:
    """The one process below `offhand up` that runs `python -m module`."""
    (found,) = up.descendants(f"-m {module} ")
    return found


def _all_gone(pids: list[int], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(is_running, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize("step", [pytest.param("invert", marks=pytest.mark.slow), "sample"])
def test_child_is_killed(undisturbed: Undisturbed, material: Material, tmp_path: Path, step: str) -> None:
    with service(tmp_path / "data", material.shipped) as up:
        job = _start(up, material)
        up.wait_for(job, _step_runs(step))
        os.kill(_process(up, "worker.runtime.child"), signal.SIGKILL)
        _ends_like(undisturbed, up, job)


@pytest.mark.slow
def test_worker_is_killed_and_the_service_started_again(
    undisturbed: Undisturbed, material: Material, tmp_path: Path
) -> None:
    with service(tmp_path / "data", material.shipped) as up:
        job = _start(up, material)
        up.wait_for(job, _step_runs("sample"))
        below = up.descendants()
        os.kill(_process(up, "worker"), signal.SIGKILL)
        assert up.process.wait(30) != 0
        assert _all_gone(below)
    with service(tmp_path / "data", material.shipped) as up:
        _ends_like(undisturbed, up, job)


def test_everything_is_killed_and_started_again(undisturbed: Undisturbed, material: Material, tmp_path: Path) -> None:
    with service(tmp_path / "data", material.shipped) as up:
        job = _start(up, material)
        up.wait_for(job, _step_runs("invert"))
        below = up.descendants()
        up.process.kill()
        assert _all_gone(below), "a part outlived `offhand up`"
    with service(tmp_path / "data", material.shipped) as up:
        _ends_like(undisturbed, up, job)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_service_stops_in_order_and_goes_on_later(
    undisturbed: Undisturbed, material: Material, tmp_path: Path, number: signal.Signals
) -> None:
    with service(tmp_path / "data", material.shipped) as up:
        job = _start(up, material)
        up.wait_for(job, _step_runs("sample"))
        below = up.descendants()
        asked = time.monotonic()
        up.stop(number)
        assert time.monotonic() - asked < 20
        assert _all_gone(below)
    with service(tmp_path / "data", material.shipped) as up:
        _ends_like(undisturbed, up, job)


def test_cancel_stops_the_work(undisturbed: Undisturbed, material: Material) -> None:
    up = undisturbed.up
    with Client(up.url) as client:
        endless = SETTINGS | {"inversion": {"steps": 10_000}}
        job = client.datasets.generate(material.labels, tiny.NAME, COUNT, **endless)["id"]
        up.wait_for(job, _step_runs("invert"))
        client.jobs.cancel(job)
        ended = up.wait_for(job, lambda document: document["state"] == "canceled", seconds=30)
        assert ended["counts"]["done"] == 0
        assert client.jobs.cancel(job)["state"] == "canceled"
