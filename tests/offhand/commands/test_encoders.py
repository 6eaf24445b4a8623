"""`offhand encoders` against the real service: what is asked for, listed, told and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from offhand.commands.encoders import encoder_text
from offhand.sdk.client import Client
from tests.offhand.conftest import Run

REPORT: dict[str, Any] = {
    "train_on": "both",
    "heads": "e4e",
    "steps": 3000,
    "perceptual_name": "lpips-vgg-v0.1",
    "images": {"samples": 32, "labels_held_out": 5},
    "by_iteration": {
        "samples": [{"psnr": 17.04, "perceptual": 0.5}, {"psnr": 21.0, "perceptual": 0.41}],
        "labels_held_out": [{"psnr": 15.0, "perceptual": 0.6}, {"psnr": 16.5, "perceptual": 0.55}],
    },
}


def test_training_starts_a_job(run: Run, client: Client, labels: Path) -> None:
    started = run("encoders", "train", "tiny", "--labels", str(labels), "--steps", "9", "--no-wait", "--json")
    assert started.exit_code == 0, started.output
    job = client.jobs.get(json.loads(started.stdout)["id"])
    assert job["kind"] == "train_encoder"
    asked = {"train_on": "both", "steps": 9, "heads": "e4e", "generator": "tiny"}
    assert job["request"] | asked == job["request"]
    assert job["request"]["labels"].startswith("upl_")
    alone = run(
        "encoders", "train", "tiny", "--heads", "psp", "--set", "image_size=64", "--set", "align.by=boxes", "--no-wait"
    )
    assert "offhand jobs" in alone.stdout
    request = client.jobs.get(alone.stdout.split()[1].rstrip(";"))["request"]
    assert (request["train_on"], request["heads"], request["image_size"]) == ("samples", "psp", 64)
    assert request["align"]["by"] == "boxes"
    for one in (job["id"], alone.stdout.split()[1].rstrip(";")):
        client.jobs.cancel(one)


def test_what_cannot_be_is_told_before_anything_is_sent(run: Run, client: Client, labels: Path) -> None:
    before = len(list(client.uploads.list()))
    unknown = run("encoders", "train", "nobody", "--labels", str(labels))
    assert unknown.exit_code == 4
    assert "nobody" in unknown.output
    absent = run("encoders", "train", "tiny", "--labels", "absent.zip")
    assert absent.exit_code == 1
    assert "absent.zip: no such file" in absent.output
    assert len(list(client.uploads.list())) == before
    refused = run("encoders", "train", "tiny", "--train-on", "labels")
    assert refused.exit_code == 4
    assert "#/labels" in refused.output


def test_there_may_be_none(run: Run, client: Client) -> None:
    assert "no encoders" in run("encoders").stdout
    assert json.loads(run("encoders", "ls", "--json").stdout) == []
    job = client.encoders.train("tiny", steps=1)
    early = run("encoders", "show", job["id"])
    assert early.exit_code == 1
    assert "has made no encoder" in early.output
    client.jobs.cancel(job["id"])
    assert run("encoders", "show", "enc_none").exit_code == 4


def test_what_an_encoder_is_worth_is_encoder_text(tmp_path: Path) -> None:
    lines = encoder_text({"id": "enc_1", "report": REPORT}, tmp_path / "a.png").splitlines()
    assert lines[0] == "enc_1  e4e, trained on both for 3000 steps"
    assert "--set inversion.encoder=enc_1" in lines[1]
    assert lines[2] == "  the generator's own samples (32), after each iteration"
    assert lines[3].split() == ["PSNR", "17.0", "21.0", "dB"]
    assert lines[4].split() == ["perceptual", "0.500", "0.410", "lpips-vgg-v0.1"]
    assert "labelled images it never saw (5)" in lines[5]
    assert lines[-1].endswith("a.png")
