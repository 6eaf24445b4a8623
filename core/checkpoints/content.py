"""The content of a checkpoint file: the value of a pickle or torch file, or the tensors of a safetensors file; of a zip
archive of several files the values of all of them, and its JSON documents.
"""

import json
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from core.callbacks import ShouldStop
from core.checkpoints.archives import DOCUMENT, is_archive, unpacked_archive
from core.checkpoints.gzipped import GZIP, unpacked
from core.checkpoints.limits import Budget, Limits, shown, unsafe
from core.checkpoints.safetensors_files import read_safetensors
from core.checkpoints.torch_files import read_pickle, read_zip
from core.errors import CheckpointError, Problem

ZIP = b"PK\x03\x04"
PICKLE = b"\x80"


@dataclass(frozen=True)
class CheckpointContent:
    """``value``: of a pickle or torch file, tensors still stored; None for safetensors, whose ``tensors`` are read.

    An archive with several files of weights has the value of each under its name without ending. ``documents``: the
    JSON files of an archive, by name.
    """

    name: str
    limits: Limits
    value: Any = None
    tensors: Mapping[str, Tensor] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> str:
        """Return the names at the top of the file, for the error about a file of an unknown kind."""
        if self.tensors is not None:
            return "tensors that begin with " + ", ".join(sorted(self.tensors)[:5])
        value = self.value
        return ", ".join(sorted(map(str, value)))[:200] if type(value) is dict else shown(value)


@contextmanager
def opened(path: Path, limits: Limits, should_stop: ShouldStop) -> Iterator[CheckpointContent]:
    """Open a checkpoint, unpacked if it is gzip or an archive. Nothing in it is executed. Raises
    :class:`CheckpointError`.
    """
    if _begins_with(path, ZIP) and is_archive(path):
        with unpacked_archive(path, limits, should_stop) as files:
            yield _archive_content(path, files, limits)
    elif _begins_with(path, GZIP):
        with unpacked(path, limits, should_stop) as inside:
            yield _content(inside, limits)
    else:
        yield _content(path, limits)


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _content(path: Path, limits: Limits) -> CheckpointContent:
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise unsafe(f"{size} bytes; {limits.file_bytes} are allowed", path.name)
    limits = limits.of_file(size)
    with path.open("rb") as file:
        begin = file.read(9)
        if len(begin) == 9 and begin[8:] == b"{" and int.from_bytes(begin[:8], "little") < size:
            tensors, metadata = read_safetensors(path, limits)
            return CheckpointContent(path.name, limits, tensors=tensors, metadata=metadata)
        if not begin.startswith((ZIP, PICKLE)):
            kinds = "an NVIDIA pickle (.pkl), a torch.save file (.pt) or safetensors, also with gzip"
            raise CheckpointError("not a checkpoint", [Problem(f"it does not begin like {kinds}", path.name)])
        # A private mapping: torch asks for memory that may be written, and nothing is ever written back.
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    budget = Budget(limits)
    value = read_zip(data, path, budget) if begin.startswith(ZIP) else read_pickle(data, budget)
    return CheckpointContent(path.name, limits, value=value)


def _archive_content(path: Path, files: list[Path], limits: Limits) -> CheckpointContent:
    documents: dict[str, Any] = {}
    contents: dict[str, CheckpointContent] = {}
    for file in files:
        if file.suffix.lower() == DOCUMENT:
            documents[file.name] = _document(file)
        else:
            contents[file.stem] = _content(file, limits)
    if len(contents) == 1:
        (only,) = contents.values()
        return replace(only, name=path.name, documents=documents)
    if any(one.tensors is not None for one in contents.values()):
        problem = Problem(f"{', '.join(sorted(contents))}: give the safetensors file alone", path.name)
        raise CheckpointError("this zip holds several checkpoints", [problem])
    grown = limits.of_file(sum(file.stat().st_size for file in files))
    return CheckpointContent(path.name, grown, {name: one.value for name, one in contents.items()}, documents=documents)


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError("this JSON document is broken", [Problem(str(error)[:200], path.name)]) from None
