"""The pages in a real browser, with a job that is done: what is drawn, and what the browser complains of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Undisturbed

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium"),
]


def browse(url: str, folder: Path) -> tuple[str, np.ndarray]:
    """What the page says once its script has run for five seconds of its own time, and how it looks."""
    assert BROWSER is not None
    picture = folder / "page.png"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--hide-scrollbars", "--window-size=1000,1400", "--enable-logging=stderr", "--virtual-time-budget=5000"]
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
