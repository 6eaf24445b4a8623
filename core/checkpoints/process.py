"""Checkpoint reading in a short-lived process of its own, with bounded memory and time.

:func:`import_in_process` (generators) and :func:`import_encoder_in_process` start ``python -m
core.checkpoints.process``, write the request to its standard input, and load the safetensors and the report that it
leaves. Whatever a file makes the reader do ends with that process; the caller can stop it at any moment.
"""

import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from core.callbacks import ShouldStop, never_stop, stop_if_asked
from core.checkpoints.limits import unsafe
from core.errors import CheckpointError, OffhandError, Problem, UnsafeCheckpointError
from core.generators.answers import Answers
from core.generators.files import load_generator, save_generator
from core.generators.importing import Imported, ImportReport, import_checkpoint
from core.inversion.encoder import load_encoder, save_encoder
from core.inversion.published.importing import EncoderReport, ImportedEncoder, import_encoder
from core.inversion.published.network import PublishedEncoder
from core.process import die_with_parent

_COMMAND: tuple[str, ...] = ("-m", "core.checkpoints.process")
_OUTCOME, _GENERATOR, _ENCODER = "outcome.json", "generator", "encoder"
#: ``should_stop`` and the time are looked at this often, in seconds.
_LOOK_SECONDS = 0.1
#: Exit statuses of a process that runs out of memory where no Python exception can be raised.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


@dataclass(frozen=True)
class ProcessLimits:
    """Room of the reading process. Both grow with the file: a checkpoint of 380 MB needs about 3 s and three times its
    size in memory.
    """

    seconds: float = 50.0
    bytes_per_second: int = 20 << 20
    memory: int = 1 << 30
    """Address space beyond that of the loaded libraries, in bytes."""
    memory_share: int = 8
    """Further address space, in lengths of the file."""

    def seconds_for(self, file_bytes: int) -> float:
        """Return the wall time for a file of this length."""
        return self.seconds + file_bytes / self.bytes_per_second

    def memory_for(self, file_bytes: int) -> int:
        """Return the address space for a file of this length, in bytes."""
        return self.memory + self.memory_share * file_bytes


def import_in_process(
    path: Path,
    folder: Path,
    answers: Answers | None = None,
    *,
    limits: ProcessLimits | None = None,
    should_stop: ShouldStop = never_stop,
) -> Imported:
    """Read a checkpoint as :func:`import_checkpoint` does, in a process of its own.

    ``folder``: made for the process's files and removed at the end. Raises the errors of :func:`import_checkpoint`,
    :class:`UnsafeCheckpointError` where the file takes more time or memory than ``limits`` allow, and ``MemoryError``
    where the machine has less than that.
    """
    given = {"answers": asdict(answers or Answers())}
    with _read(path, folder, given, limits or ProcessLimits(), should_stop) as report:
        return Imported(load_generator(folder / _GENERATOR), ImportReport.from_json(report))


def import_encoder_in_process(
    path: Path,
    folder: Path,
    heads: str | None = None,
    *,
    limits: ProcessLimits | None = None,
    should_stop: ShouldStop = never_stop,
) -> ImportedEncoder:
    """Read a published encoder as :func:`import_encoder` does, in a process of its own; errors as of
    :func:`import_in_process`.
    """
    with _read(path, folder, {"heads": heads}, limits or ProcessLimits(), should_stop) as report:
        encoder = load_encoder(folder / _ENCODER)
        assert isinstance(encoder, PublishedEncoder)
        return ImportedEncoder(encoder, EncoderReport.from_json(report))


@contextlib.contextmanager
def _read(
    path: Path, folder: Path, given: dict[str, Any], limits: ProcessLimits, should_stop: ShouldStop
) -> Iterator[dict[str, Any]]:
    """Run the process and yield the report that it leaves; its files are removed afterwards."""
    folder.mkdir(parents=True)
    size = path.stat().st_size
    request = {
        "parent": os.getpid(),
        "path": str(path.absolute()),
        "folder": str(folder.absolute()),
        "memory": limits.memory_for(size),
        **given,
    }
    try:
        status = _run(request, limits.seconds_for(size), should_stop)
        yield _report(folder, status, limits.memory_for(size))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(request: dict[str, Any], seconds: float, should_stop: ShouldStop) -> int:
    """Run the process to its end; its exit status. It belongs to the caller's process group and is killed with it."""
    until = time.monotonic() + seconds
    process = subprocess.Popen([sys.executable, *_COMMAND], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            json.dump(request, pipe)
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK_SECONDS)
            stop_if_asked(should_stop)
            if time.monotonic() > until:
                raise unsafe(f"reading it takes more than {seconds:.0f} seconds")
    finally:
        process.kill()
        process.wait()


def _report(folder: Path, status: int, memory: int) -> dict[str, Any]:
    outcome = folder / _OUTCOME
    if status == 0:
        done = json.loads(outcome.read_text("utf-8"))
        if "error" in done:
            raise _error(done["error"])
        report: dict[str, Any] = done["report"]
        return report
    if -status in _CRASHES:
        raise unsafe(f"reading it ends with {signal.Signals(-status).name}; {memory >> 20} MiB of memory are allowed")
    if -status == signal.SIGKILL:
        raise MemoryError("the system ended the process that read the checkpoint, most likely for want of memory")
    raise RuntimeError(f"the process that reads checkpoints ended with exit status {status}")


def _error(values: dict[str, Any]) -> CheckpointError:
    kind = UnsafeCheckpointError if values["code"] == UnsafeCheckpointError.code else CheckpointError
    return kind(values["detail"], [Problem(*one) for one in values["problems"]])


def main() -> None:
    """Read the request from standard input, the checkpoint it names, and leave network and report, or the error."""
    request = json.load(sys.stdin)
    die_with_parent(request["parent"])
    folder = Path(request["folder"])
    tempfile.tempdir = str(folder)  # so that whatever is unpacked is removed with the folder
    torch.set_num_threads(1)  # each thread would take address space for its stack and heap
    _limit_memory(request["memory"])
    path = Path(request["path"])

    def read() -> dict[str, Any]:
        if "answers" in request:
            return _import(path, folder, Answers(**request["answers"]))
        return _import_encoder(path, folder, request["heads"])

    outcome = _outcome(read, request["memory"])
    (folder / _OUTCOME).write_text(json.dumps(outcome), "utf-8")


def _import(path: Path, folder: Path, answers: Answers) -> dict[str, Any]:
    imported = import_checkpoint(path, answers)
    save_generator(folder / _GENERATOR, imported.generator)
    return {"report": imported.report.to_json()}


def _import_encoder(path: Path, folder: Path, heads: str | None) -> dict[str, Any]:
    imported = import_encoder(path, heads)
    (folder / _ENCODER).mkdir()
    save_encoder(folder / _ENCODER, imported.encoder)
    return {"report": imported.report.to_json()}


def _outcome(read: Callable[[], dict[str, Any]], memory: int) -> dict[str, Any]:
    try:
        return read()
    except OffhandError as error:
        refused: OffhandError = error
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        refused = unsafe(f"reading it takes more than {memory >> 20} MiB of memory")
    problems = [(problem.detail, problem.pointer) for problem in refused.problems]
    return {"error": {"code": refused.code, "detail": refused.detail, "problems": problems}}


def _limit_memory(room: int) -> None:
    """Allow ``room`` bytes of address space beyond what is mapped now. Systems without /proc do not count it."""
    with contextlib.suppress(FileNotFoundError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + room
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
