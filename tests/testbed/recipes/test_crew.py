"""Several processes, one training."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from testbed.recipes.crew import Crew, together


def _take_a_step(crew: Crew, folder: Path) -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    untouched = torch.nn.Parameter(torch.zeros(1))
    (weight.sum() * (1 + 2 * crew.rank)).backward()
    told = crew.average([weight, untouched], float(crew.rank))
    assert weight.grad is not None
    parts = [torch.full((2,), 1.0 + crew.rank), torch.zeros(1, 2).T]
    crew.add(parts)
    facts = {"grad": weight.grad.tolist(), "told": told, "first": crew.first, "sum": parts[0].tolist()}
    (folder / f"{crew.rank}.json").write_text(json.dumps(facts))


def test_gradients_are_averaged_parts_added_and_a_number_agreed_on(tmp_path: Path) -> None:
    together(2, _take_a_step, tmp_path)
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert one["grad"] == other["grad"] == [[2.0] * 3] * 2
    assert one["told"] == other["told"] == 0.5
    assert one["sum"] == other["sum"] == [3.0, 3.0]
    assert (one["first"], other["first"]) == (True, False)


def test_a_process_alone_keeps_its_own(tmp_path: Path) -> None:
    together(1, _take_a_step, tmp_path)
    facts = json.loads((tmp_path / "0.json").read_text())
    assert facts == {"grad": [[1.0] * 3] * 2, "told": 0.0, "first": True, "sum": [1.0, 1.0]}


def _sleep(crew: Crew, folder: Path) -> None:
    (folder / f"{crew.rank}.pid").write_text(str(os.getpid()))
    time.sleep(60)


def _runs(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_no_process_outlives_the_program_that_began_them(tmp_path: Path, repository: Path) -> None:
    code = "import sys, pathlib; from tests.testbed.recipes import test_crew as here; "
    code += "here.together(2, here._sleep, pathlib.Path(sys.argv[1]))"
    program = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=repository,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as a shell does for the background
    )
    deadline = time.monotonic() + 60
    while len(files := [file for file in tmp_path.glob("*.pid") if file.read_text()]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    program.kill()
    program.wait()
    members = [int(file.read_text()) for file in files]
    while any(_runs(member) for member in members):
        assert time.monotonic() < deadline
        time.sleep(0.1)
