"""Checkpoints are read in a short-lived process: bounded in time and memory, stopped at any moment, nothing left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.checkpoints import process
from core.checkpoints.process import ProcessLimits, import_in_process
from core.errors import Stopped, UnsafeCheckpointError
from core.generators.answers import Answers
from core.generators.importing import import_checkpoint
from tests.core.checkpoints import writers


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Path]:
    """The folder of the process, which has to be gone at the end."""
    yield tmp_path / "reading"
    assert not (tmp_path / "reading").exists()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "network.pkl"
    path.write_bytes(writers.nvidia_pickle(writers.nvidia_state(writers.trained())))
    return path


def test_a_process_reads_what_the_library_reads(checkpoint: Path, reading: Path) -> None:
    answers = Answers(network="G")
    there, here = import_in_process(checkpoint, reading, answers), import_checkpoint(checkpoint, answers)
    assert there.report == here.report
    assert there.generator.info.classes == here.generator.info.classes
    state = here.generator.network.state_dict()
    for name, tensor in there.generator.network.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert not any(parameter.requires_grad for parameter in there.generator.network.parameters())


def test_refusals_come_back_with_code_and_problems(tmp_path: Path, reading: Path) -> None:
    hostile = tmp_path / "hostile.pkl"
    hostile.write_bytes(b"\x80\x02cos\nsystem\nX\x05\x00\x00\x00touch\x85R.")
    with pytest.raises(UnsafeCheckpointError) as caught:
        import_in_process(hostile, reading)
    assert [problem.pointer for problem in caught.value.problems] == ["os.system"]


def test_a_file_that_needs_too_much_memory_is_refused(checkpoint: Path, reading: Path) -> None:
    with pytest.raises(UnsafeCheckpointError, match="more than 1 MiB of memory"):
        import_in_process(checkpoint, reading, limits=ProcessLimits(memory=1 << 20, memory_share=0))


def test_a_file_that_takes_too_long_is_refused(checkpoint: Path, reading: Path) -> None:
    with pytest.raises(UnsafeCheckpointError, match="more than 0 seconds"):
        import_in_process(checkpoint, reading, limits=ProcessLimits(seconds=0.2))


def test_reading_stops_within_a_second(checkpoint: Path, reading: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(Stopped):
        import_in_process(checkpoint, reading, should_stop=lambda: time.monotonic() > begin + 0.2)
    assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize(
    ("script", "kind", "told"),
    [
        ("import os; os.kill(os.getpid(), 9)", MemoryError, "the system ended the process"),
        ("import os; os.kill(os.getpid(), 6)", UnsafeCheckpointError, "ends with SIGABRT"),
        ("raise SystemExit(3)", RuntimeError, "exit status 3"),
    ],
)
def test_a_process_that_dies_is_named(
    script: str, kind: type[Exception], told: str, checkpoint: Path, reading: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL comes from a machine without memory, which another attempt may find; a crash is the file's doing."""
    monkeypatch.setattr(process, "_COMMAND", ("-c", script))
    with pytest.raises(kind, match=told):
        import_in_process(checkpoint, reading)


def test_time_and_memory_grow_with_the_file() -> None:
    """A file of 16 GiB is read at 20 MiB a second, and may have eight times its size."""
    limits = ProcessLimits()
    assert limits.seconds_for(16 << 30) == pytest.approx(50 + 819.2)
    assert limits.memory_for(1 << 30) == 9 << 30
    assert limits.seconds_for(0) < 60
    assert limits.memory_for(1 << 20) < 2 << 30
