"""The pages in a real browser, with a job that is done: what is drawn, and what the browser complains of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offhand.sdk.client import Client
from testbed.shipped import load_stylegan2
from tests.e2e import tiny
from tests.e2e.conftest import Material, Undisturbed

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium"),
]


def browse(url: str, folder: Path, height: int = 1400) -> tuple[str, np.ndarray]:
    """What the page says once its script has run for five seconds of its own time, and how it looks."""
    assert BROWSER is not None
    picture = folder / "page.png"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    # It shall wait for the page alone: not for its maker's servers, nor for shared memory that a container lacks.
    command += ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"]
    command += ["--disable-dev-shm-usage"]
    command += [
        "--hide-scrollbars",
        f"--window-size=1000,{height}",
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
    ]
    ran = subprocess.run(
        [*command, "--dump-dom", f"--screenshot={picture}", url], capture_output=True, text=True, timeout=120
    )
    complaints = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints
    return ran.stdout, np.array(Image.open(picture).convert("RGB"))


@pytest.mark.parametrize("page", ["list", "job"])
def test_a_finished_job_is_drawn_with_its_pictures(undisturbed: Undisturbed, tmp_path: Path, page: str) -> None:
    path = f"/jobs/{undisturbed.job['id']}" if page == "job" else "/"
    text, drawn = browse(undisturbed.up.url + path, tmp_path)
    assert undisturbed.job["id"] in text
    assert "succeeded" in text
    assert "contact-sheet" in text
    # The head's card is white, the ground is not, and the contact sheet brings colours.
    assert (drawn[5, 5] == 255).all()
    assert not (drawn[-5, 5] == 255).all()
    colours = drawn.max(2).astype(int) - drawn.min(2)
    assert (colours > 100).mean() > 0.01


def test_reports_are_drawn_whole_though_they_may_run_nothing(
    undisturbed: Undisturbed, material: Material, tmp_path: Path
) -> None:
    """Their content security policy is a sandbox: style and pictures have to be in the page itself."""
    held_out = tmp_path / "held_out.zip"
    tiny.write_labels(held_out, load_stylegan2(material.shipped / tiny.NAME).network, count=8, seed=2)
    with Client(undisturbed.up.url) as client:
        job = client.evaluations.create(undisturbed.job["result"]["dataset"], held_out, repeats=1, steps=2)
        client.jobs.wait(job["id"], timeout=180)
        labeler = undisturbed.job["result"]["labeler"]
        client.jobs.wait(client.labelers.assess(labeler, folds=2)["id"], timeout=180)
    for path in (f"/v1/evaluations/{job['id']}/report", f"/v1/labelers/{labeler}/report"):
        folder = tmp_path / path.replace("/", "-")
        text, drawn = browse(undisturbed.up.url + path, folder, height=4000)
        assert text.rstrip().endswith("</html>")
        # The verdict's and the curves' colours come of style and SVG, the many colours of the sheet of samples inside.
        shown = {tuple(colour) for colour in np.unique(drawn.reshape(-1, 3), axis=0).tolist()}
        assert (0, 135, 195) in shown, "the curve"
        assert len(shown) > 500, "the samples"
