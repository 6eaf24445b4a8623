"""Temporary folders of children: removed with the child, by its supervisor, or at the start of the next worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from store.database.database import Database
from store.objects import ObjectStore
from store.settings import Settings
from tests.worker.servicekit import STEPS, submit, view, wait_until
from worker.runtime.folders import held_folder, new_folder, sweep_folders
from worker.runtime.supervisor import Supervisor


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, for this process and those that it starts."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_a_folder_is_removed_at_its_end(temporary: Path) -> None:
    with held_folder(new_folder()) as folder:
        (folder / "upload").mkdir()
        assert [path.name for path in temporary.iterdir()] == [folder.name]
    assert not list(temporary.iterdir())


def test_a_child_that_dies_leaves_no_files(
    settings: Settings, db: Database, objects: ObjectStore, temporary: Path
) -> None:
    supervisor = Supervisor(settings, db, objects, steps=STEPS)
    job = submit(db, count=1, fault="leave")
    supervisor.run_until_idle()
    supervisor.close()
    assert view(db, job).state == "failed"
    assert not list(temporary.glob("*offhand-child*"))


HOLD = """
import sys, time
from worker.runtime.folders import held_folder, new_folder
with held_folder(new_folder()) as folder:
    (folder / "checkpoint.pkl").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(600)
"""


def test_folders_of_dead_processes_are_swept_and_others_stay(temporary: Path, repository: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD], cwd=repository, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout as lines:
        folder = Path(lines.readline().strip())
    elsewhere = temporary / "offhand-jobs-1"
    elsewhere.mkdir()
    (temporary / "offhand-child-link").symlink_to(elsewhere)
    try:
        assert sweep_folders() == 0
        assert (folder / "checkpoint.pkl").exists()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert folder.exists(), "nobody was left to remove it"
    assert sweep_folders() == 1
    assert not folder.exists()
    assert elsewhere.exists()


def test_a_worker_sweeps_at_its_start(settings: Settings, temporary: Path, repository: Path) -> None:
    dead = temporary / "offhand-child-dead"
    dead.mkdir()
    (dead / "network.pkl").write_bytes(bytes(1000))
    environment = {**os.environ, "OFFHAND_HOME": str(settings.home), "OFFHAND_GENERATORS_FOLDER": "/nowhere"}
    worker = subprocess.Popen([sys.executable, "-m", "worker", "--embedded"], cwd=repository, env=environment)
    try:
        wait_until(lambda: not dead.exists(), 30)
    finally:
        worker.terminate()
        assert worker.wait(60) == 0
