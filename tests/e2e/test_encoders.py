"""An encoder through the command and the real service: trained, listed, shown, begun with."""

from __future__ import annotations

import json
from pathlib import Path

from offhand.sdk.client import Client
from tests.e2e import tiny
from tests.e2e.conftest import SETTINGS, Material, Undisturbed
from tests.e2e.processes import offhand


def test_an_encoder_is_trained_and_begun_with(undisturbed: Undisturbed, material: Material, tmp_path: Path) -> None:
    url = undisturbed.up.url
    wish = ["encoders", "train", tiny.NAME, "--labels", str(material.labels), "--steps", "6", "--set", "image_size=16"]
    trained = offhand(*wish, "--picture", str(tmp_path / "attempts.png"), "--url", url)
    encoder = trained.stdout.split()[0]
    assert f"{encoder}  e4e, trained on both for 6 steps" in trained.stdout
    assert "labelled images it learnt from (6), after each iteration" in trained.stdout
    assert (tmp_path / "attempts.png").read_bytes().startswith(b"\x89PNG")
    listed = offhand("encoders", "ls", "--generator", tiny.NAME, "--url", url).stdout
    assert encoder in listed
    assert "both" in listed
    assert offhand("encoders", "ls", "--generator", "other", "--url", url).stdout.startswith("no encoders")
    again = json.loads(offhand(*wish, "--json", "--url", url).stdout)
    assert again["id"] == encoder, "equal encoders are trained once"
    assert json.loads(offhand("encoders", "show", encoder, "--json", "--url", url).stdout) == again
    with Client(url) as service:
        settings = SETTINGS | {"inversion": {"steps": 2, "encoder": encoder}}
        job = service.jobs.wait(service.datasets.generate(material.labels, tiny.NAME, 2, **settings)["id"], timeout=180)
        labeler = service.labelers.get(job["result"]["labeler"])
    assert {row["start"] for row in labeler["inversion_report"]["per_image"]} == {"encoder"}
