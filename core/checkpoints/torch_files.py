"""What ``torch.save`` writes: the zip of today, the older run of pickles, and the latter inside other pickles."""

import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from core.checkpoints.instructions import load
from core.checkpoints.limits import Budget, unsafe
from core.checkpoints.machine import Global, Machine
from core.checkpoints.values import STORAGE_TYPES, Storage, table
from core.errors import CheckpointError, Problem

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
#: Lengths of name and extra field at the end of a zip entry's own header.
_LOCAL_HEADER = struct.Struct("<26x2H")
_COUNT = struct.Struct("<q")


def read_pickle(data: memoryview, budget: Budget, level: int = 0) -> Any:
    """A pickle, or an older ``torch.save`` file, which is a run of them. Raises :class:`UnsafeCheckpointError`."""
    budget.start_pickle(level)
    names = _names(budget, level)
    machine = Machine(data, names, budget)
    value = load(machine)
    if value != MAGIC or type(value) is not int:
        return value
    return _older(data, machine.position, names, budget)


def read_zip(data: memoryview, path: Path, budget: Budget) -> Any:
    """The zip that ``torch.save`` writes since 1.6. ``data`` holds the bytes of the file at ``path``."""
    budget.start_pickle(0)
    members = _members(data, path, budget)
    tops = [name.removesuffix("data.pkl") for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(tops) != 1:
        raise CheckpointError("this zip holds no checkpoint", [Problem("it holds several data.pkl", path.name)])
    (top,) = tops
    if bytes(members.get(f"{top}byteorder", memoryview(b"little"))[:10]) != b"little":
        raise CheckpointError(
            "this checkpoint is big-endian", [Problem("save it on a little-endian machine", path.name)]
        )
    storages: dict[str, Storage] = {}

    def persistent(identifier: Any) -> Storage:
        key, dtype, count = _identified(identifier)
        if key not in storages:
            content = members.get(f"{top}data/{key}")
            if content is None:
                raise unsafe(f"storage {key[:50]} is not in the file")
            storages[key] = Storage(dtype, count)
            storages[key].fill(content)
        return storages[key]

    return load(Machine(members[f"{top}data.pkl"], _names(budget, 0), budget, persistent))


def _refuse_other_zips(names: Iterable[str], path: Path) -> None:
    """Raise for a zip that ``torch.save`` did not write, with what it holds instead and what to do."""
    listed = sorted(names)
    state = "torch.save(module.state_dict(), FILE) writes a file that is read"
    if any("/code/__torch__" in name for name in listed):
        raise CheckpointError("this is a TorchScript program, which is code", [Problem(state, path.name)])
    if any(name.endswith("/.data/extern_modules") for name in listed):
        raise CheckpointError("this is a torch.package, which is code", [Problem(state, path.name)])
    if any(name.count("/") == 1 and name.endswith("/data.pkl") for name in listed):
        return
    inside = [name for name in listed if name.lower().endswith((".pkl", ".pt", ".pth", ".safetensors"))]
    detail = f"it holds {', '.join(listed[:5]) or 'nothing'}, and torch.save did not write it"
    if inside:
        detail = f"unpack it and give the checkpoint in it: {', '.join(inside[:5])}"
    raise CheckpointError("this zip holds no checkpoint", [Problem(detail, path.name)])


def _names(budget: Budget, level: int) -> dict[str, Global]:
    def load_nested(content: Any) -> Any:
        if type(content) not in (bytes, memoryview):
            raise unsafe("a nested payload that is not bytes")
        budget.make(len(content))  # the same bytes may be given again and again
        # Views of the file may be written (privately), and torch asks for no less.
        data = content if type(content) is memoryview else memoryview(bytearray(content))
        return read_pickle(data, budget, level + 1)

    return table(load_nested, budget)


def _older(data: memoryview, position: int, names: Mapping[str, Global], budget: Budget) -> Any:
    """Behind the magic number: protocol, facts about the machine, the value, the keys of its storages, their bytes."""
    storages: dict[str, Storage] = {}

    def persistent(identifier: Any) -> Storage:
        key, dtype, count = _identified(identifier)
        return storages.setdefault(key, Storage(dtype, count))

    parts = []
    for _ in range(4):
        machine = Machine(data, names, budget, persistent, position)
        parts.append(load(machine))
        position = machine.position
    protocol, about, value, keys = parts
    if protocol != PROTOCOL or type(about) is not dict or about.get("little_endian") is not True:
        raise CheckpointError("this checkpoint is of an unknown kind", [Problem("not torch.save's older format", "")])
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise unsafe("storages whose keys are no list of names")
    for key in keys:
        storage = storages.pop(key, None)
        if storage is None:
            raise unsafe(f"storage {key[:50]} belongs to nothing")
        begin = position + _COUNT.size
        position = begin + storage.count * storage.dtype.itemsize
        if position > len(data) or _COUNT.unpack_from(data, begin - _COUNT.size)[0] != storage.count:
            raise unsafe(f"storage {key[:50]} is not of the declared length")
        storage.fill(data[begin:position])
    if storages:
        raise unsafe(f"storage {next(iter(storages))[:50]} is not in the file")
    return value


def _identified(identifier: Any) -> tuple[str, torch.dtype, int]:
    """("storage", type, key, device, count, …) → (key, type of its numbers, count)."""
    if type(identifier) is not tuple or len(identifier) < 5 or identifier[0] != "storage":
        raise unsafe("a reference to something else than a storage")
    _, kind, key, _, count = identifier[:5]
    dtype = STORAGE_TYPES.get(kind.name.rpartition(".")[2]) if type(kind) is Global else None
    if dtype is None or type(key) is not str or type(count) is not int or not 0 <= count < 1 << 48:
        raise unsafe("a storage of unknown kind")
    return key, dtype, count


def _members(data: memoryview, path: Path, budget: Budget) -> dict[str, memoryview]:
    """Name → bytes of each entry, as views: torch compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError("this zip is broken", [Problem(str(error), path.name)]) from None
    if len(entries) > budget.limits.members:
        raise unsafe(f"more than {budget.limits.members} entries in a zip")
    _refuse_other_zips((entry.filename for entry in entries), path)
    members = {}
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            raise unsafe("a compressed or encrypted entry, which torch.save never writes", entry.filename[:200])
        header = entry.header_offset + _LOCAL_HEADER.size
        if entry.header_offset < 0 or header > len(data):
            raise unsafe("an entry outside of the file", entry.filename[:200])
        name_length, extra_length = _LOCAL_HEADER.unpack_from(data, entry.header_offset)
        begin = header + name_length + extra_length
        if begin + entry.file_size > len(data):
            raise unsafe("an entry outside of the file", entry.filename[:200])
        members[entry.filename] = data[begin : begin + entry.file_size]
    return members
