"""`offhand evaluate` and `offhand report` through the real service: a verdict, a page, wrong input, interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from offhand.sdk.client import Client
from testbed.shipped import load_stylegan2
from tests.e2e import tiny
from tests.e2e.conftest import Material, Undisturbed
from tests.e2e.processes import OFFHAND, offhand

QUICK = ("--repeats", "1", "--set", "steps=2")


@pytest.fixture(scope="module")
def held_out(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("held_out") / "held_out.zip"
    tiny.write_labels(archive, load_stylegan2(material.shipped / tiny.NAME).network, count=8, seed=2)
    return archive


def _reported(*arguments: str) -> Any:
    """The JSON that a command prints, which must be all of its stdout."""
    return json.loads(offhand(*arguments, "--json").stdout)


def _findings(report: dict[str, Any]) -> dict[str, Any]:
    """What an evaluation found, without its name."""
    return {name: value for name, value in report.items() if name != "evaluation"}


def test_people_and_programs_are_told_the_verdict_and_keep_the_page(
    undisturbed: Undisturbed, held_out: Path, tmp_path: Path
) -> None:
    page, again = tmp_path / "report.html", tmp_path / "again.html"
    job, url = undisturbed.job["id"], ("--url", undisturbed.up.url)
    asked = ("evaluate", job, "--against", str(held_out), "--out", str(page), "--gate")
    told = offhand(*asked, *QUICK, *url).stdout
    assert told.startswith("Not shown whether to use this dataset: useful could not be decided.")
    assert "\n  recommended: No way of training is shown to be best. The highest score so far, " in told
    assert "passed   regeneration   24 samples drawn again from their latents are the same to the last pixel." in told
    assert f"page     {page}" in told
    html = page.read_text()
    assert html.startswith("<!doctype html>")
    assert "Better than the same labels alone" in html
    repeated = offhand("report", job, "--out", str(again), *url).stdout
    assert repeated.splitlines()[:-1] == told.splitlines()[:-1]
    assert again.read_bytes() == page.read_bytes()
    dataset = undisturbed.job["result"]["dataset"]
    found = _reported("report", dataset, *url)
    assert (found["dataset"], found["verdict"]) == (dataset, "not shown")
    assert [gate["name"] for gate in found["gates"]] == ["useful", "classes", "uncertainty", "copies", "regeneration"]
    assert _reported("report", found["evaluation"], *url) == found


@pytest.mark.parametrize(
    ("dataset", "more", "words"),
    [
        ("ds_01jd0c5w6w3m8z4k1x2y3z4a5b", (), "ds_01jd0c5w6w3m8z4k1x2y3z4a5b"),
        (None, ("--preset", "huge"), "preset"),
        (None, ("--set", "repeat=2"), "repeat"),
    ],
)
def test_a_wrong_request_is_refused(
    undisturbed: Undisturbed, held_out: Path, dataset: str | None, more: tuple[str, ...], words: str
) -> None:
    wanted = dataset or undisturbed.job["result"]["dataset"]
    refused = offhand("evaluate", wanted, "--against", str(held_out), *more, "--url", undisturbed.up.url, expect=4)
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_labels_that_are_not_there_or_made_the_dataset_are_refused(
    undisturbed: Undisturbed, material: Material, tmp_path: Path
) -> None:
    dataset, url = undisturbed.job["result"]["dataset"], ("--url", undisturbed.up.url)
    missing = offhand("evaluate", dataset, "--against", str(tmp_path / "none.zip"), *url, expect=1)
    assert "none.zip: no such file or folder" in missing.stderr
    same = offhand("evaluate", dataset, "--against", str(material.labels), *QUICK, *url, "--json", expect=4)
    assert "are the labels that the dataset was made from" in same.stdout


def test_a_report_that_is_not_there_says_how_to_make_it(undisturbed: Undisturbed, material: Material) -> None:
    with Client(undisturbed.up.url) as service:
        settings: dict[str, Any] = {"seed": 9, "inversion": {"steps": 2}, "labeler": {"members": 1}}
        job = service.datasets.generate(material.labels, tiny.NAME, 8, **settings)
        dataset = service.jobs.wait(job["id"], timeout=120)["result"]["dataset"]
    told = offhand("report", dataset, "--url", undisturbed.up.url, expect=1).stderr
    assert f"offhand evaluate {dataset} --against LABELS" in told


@pytest.mark.slow
def test_ctrl_c_leaves_the_evaluation_running_and_a_lost_child_costs_no_finished_net(
    undisturbed: Undisturbed, held_out: Path
) -> None:
    up, url = undisturbed.up, ("--url", undisturbed.up.url)
    dataset = undisturbed.job["result"]["dataset"]
    longer = ("--repeats", "1", "--set", "steps=20", "--against", str(held_out), *url)
    with subprocess.Popen(
        [*OFFHAND, "evaluate", dataset, *longer], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as command:
        try:
            evaluation = _running(up.url, command)
            up.wait_for(evaluation, lambda job: job["steps"][-1]["done"] >= 1)
            command.send_signal(signal.SIGINT)
            told = command.communicate(timeout=30)[1]
        finally:
            command.kill()
    assert command.returncode == 130
    assert f"{evaluation} continues." in told
    assert f"fetch:    offhand report {evaluation}" in told
    (child,) = up.descendants("-m worker.runtime.child ")
    os.kill(child, signal.SIGKILL)
    with Client(up.url) as service:
        service.jobs.wait(evaluation, timeout=120)
        events = [one["name"] for one in service.jobs.events(evaluation)]
    assert "dataset.evaluated" in events
    interrupted = _reported("report", evaluation, *url)
    assert _findings(interrupted) == _findings(_reported("evaluate", dataset, *longer))


def _running(url: str, command: subprocess.Popen[str]) -> str:
    """The evaluation that a command started and that runs now."""
    give_up_at = time.monotonic() + 120
    with Client(url) as service:
        while time.monotonic() < give_up_at and command.poll() is None:
            for job in service.jobs.list(kind="evaluate", state="running"):
                return str(job["id"])
            time.sleep(0.05)
        jobs = [(job["id"], job["state"]) for job in service.jobs.list(kind="evaluate")]
    command.kill()
    raise AssertionError(f"expected a running evaluation, found {jobs}; stderr: {command.communicate()[1]}")
