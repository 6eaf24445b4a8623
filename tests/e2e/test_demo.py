"""`make demo` with a tiny generator: everything but the measuring, which needs the world it was made for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.labeling.files import load_labeler
from testbed import demo
from tests.e2e import tiny
from tests.e2e.conftest import Material
from tests.e2e.processes import PACE, descendants, is_running

COUNT = 8

# The demo's own program with another generator, and the labeler looked at and not measured.
PROGRAM = f"""
import sys
from pathlib import Path
from testbed import demo

demo.LABELS, demo.GENERATOR, demo.COUNT = Path(sys.argv[1]), {tiny.NAME!r}, {COUNT}
demo.measure = lambda: f"labeler in {{demo.collect_labeler(demo.SERVICE, demo.LABELER)}}"
sys.exit(demo.main())
"""


@pytest.fixture
def running_demo(material: Material, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM, str(material.labels)],
        cwd=tmp_path,
        env=os.environ | PACE | {"OFFHAND_GENERATORS_FOLDER": str(material.shipped)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process
        process.terminate()


def test_demo_ends_with_what_it_promises(running_demo: subprocess.Popen[str], tmp_path: Path) -> None:
    told, _ = running_demo.communicate(timeout=240)
    assert running_demo.returncode == 0, told
    assert (tmp_path / demo.DATASET / "contact_sheet.png").is_file()
    assert len(list((tmp_path / demo.SAMPLES).rglob("*.image.png"))) == COUNT
    assert load_labeler(tmp_path / demo.LABELER).labeler.class_count == 2
    for words in ("inverting images: running", "training labeler: succeeded", "every digest right", "contact sheet"):
        assert words in told


def test_interrupted_demo_leaves_no_process(running_demo: subprocess.Popen[str]) -> None:
    assert running_demo.stdout is not None
    with running_demo.stdout as told:
        for line in told:
            if "generate" in line:
                break
        time.sleep(1.0)
        below = descendants(running_demo.pid)
        assert below
        running_demo.send_signal(signal.SIGINT)
        rest = told.read()
    assert running_demo.wait(60) == 130
    assert "interrupted; the service is down" in rest
    assert "Traceback" not in rest
    assert not [pid for pid in below if is_running(pid)]
