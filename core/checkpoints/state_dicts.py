"""State dictionaries: networks as plain tables of tensors, wherever in a file and under whichever prefix they stand.

A family names tensors that show each of its layouts; this module finds the tables, their prefixes, and the one that the
caller wants.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from core.checkpoints.limits import Limits, unsafe
from core.checkpoints.values import StoredArray, StoredTensor
from core.errors import CheckpointError, Problem

T = TypeVar("T", bound=StoredTensor | Tensor)

MISSING = "not in the file"
#: Tables inside tables that are looked into.
_DEPTH = 3
#: Generators in one table.
_MOST = 32
#: Parts of a place that name no generator.
_SILENT = ("module", "state_dict")

Marks = Mapping[str, tuple[str, ...]]
"""Layout → names of tensors that show it: where one stands, what precedes its name is the prefix of the generator."""


@dataclass(frozen=True)
class StateDict(Generic[T]):
    """A generator's tensors under its project's names, without a prefix.

    ``name``: where in the file they stand ("g_ema", "decoder"); empty where they are all that it holds.
    """

    name: str
    layout: str
    tensors: dict[str, T]


def state_dicts(tensors: Mapping[str, T], marks: Marks, place: tuple[str, ...] = ()) -> list[StateDict[T]]:
    """Return the generators in one table of tensors that stands at ``place`` in its file."""
    found = []
    for layout, names in marks.items():
        for prefix in _prefixes(tensors, names):
            inside = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
            parts = [part for part in (*place, *prefix.split(".")) if part and part not in _SILENT]
            found.append(StateDict(".".join(parts), layout, inside))
    return found


def _prefixes(names: Iterable[str], marks: tuple[str, ...]) -> list[str]:
    """Return what precedes any of the marks in a name, each prefix once: "" or ends with a dot."""
    marked = {
        name.removesuffix(mark): None for name in names for mark in marks if name == mark or name.endswith(f".{mark}")
    }
    if len(marked) > _MOST:
        raise CheckpointError(
            "this file holds too many generators", [Problem(f"{len(marked)} prefixes; up to {_MOST} are read", "")]
        )
    return list(marked)


def choose(found: list[StateDict[T]], network: str | None) -> StateDict[T]:
    """Return the generator that the caller names, else the averaged one, else the only one.

    Raises :class:`CheckpointError` where the file holds no generator of that name, or several and no averaged one.
    """
    names = ", ".join(sorted(one.name or "one without a name" for one in found))[:200]
    if network is not None:
        found = [one for one in found if network in (one.name, one.name.rpartition(".")[2])]
        if not found:
            raise CheckpointError(
                f"no generator {network} in this file", [Problem(f"the file holds {names}", "network")]
            )
    averaged = [one for one in found if "ema" in one.name.lower()]
    candidates = averaged or found
    if len(candidates) > 1:
        raise ask(("network", f"it holds several generators: {names}"))
    return candidates[0]


def tables(
    value: Any, carried: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, StoredTensor], dict[str, StoredTensor]]]:
    """Yield (place, tensors, carried tensors of the tables around it) of each table in a value, each table once.

    carried: names of tensors that belong to a network although they stand in a table around it.
    """
    level: list[tuple[tuple[str, ...], Any, dict[str, StoredTensor]]] = [((), value, {})]
    seen: set[int] = set()
    for _ in range(_DEPTH + 1):
        following = []
        for place, table, above in level:
            if type(table) is not dict or id(table) in seen:
                continue
            seen.add(id(table))
            tensors = {key: one for key, one in table.items() if type(key) is str and isinstance(one, StoredTensor)}
            yield place, tensors, above
            inherited = above | {name: one for name, one in tensors.items() if name in carried}
            following += [((*place, key), one, inherited) for key, one in table.items() if type(key) is str]
        level = following


def read_all(stored: Mapping[str, StoredTensor | StoredArray], limits: Limits) -> dict[str, Tensor]:
    """Return views of the tensors. Raises where they would need more memory than ``limits`` of the file allow."""
    needed = 4 * sum(one.count for one in stored.values())
    if needed > limits.tensor_bytes:
        raise unsafe(f"its tensors need {needed} bytes; {limits.tensor_bytes} are allowed")
    return {name: one.read() for name, one in stored.items()}


def ask(*questions: tuple[str, str]) -> CheckpointError:
    """Return the error for a file that leaves (option, meaning) open."""
    problems = [Problem(f"{MISSING}; {meaning}", name) for name, meaning in questions]
    names = ", ".join(name for name, _ in questions)
    return CheckpointError(f"this checkpoint needs answers: {names}", problems)
