"""State dictionaries: generators as plain tables of tensors, wherever in a file and under whichever prefix they stand.

``torch.save`` files of rosinality (``g_ema``), of ReStyle, pSp and e4e (``state_dict`` with ``decoder.``), of training
under DataParallel (``module.``), of Lightning (``state_dict`` with ``G_ema.``), bare ones, and the same in safetensors.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from core.checkpoints.limits import Limits
from core.checkpoints.values import StoredTensor
from core.errors import CheckpointError, Problem
from core.generators.answers import Answers
from core.generators.stylegan2.checkpoints.found import Found, ask, read_all
from core.generators.stylegan2.checkpoints.nvidia import read_nvidia_state
from core.generators.stylegan2.checkpoints.other_kinds import refusal, related_kind, unread_kind
from core.generators.stylegan2.checkpoints.rosinality import read_rosinality_state

T = TypeVar("T", bound=StoredTensor | Tensor)

LATENT_AVG = "latent_avg"
#: Tables inside tables that are looked into.
_DEPTH = 3
#: Generators in one table.
_MOST = 32
#: Parts of a place that name no generator.
_SILENT = ("module", "state_dict")
#: Layout → names of tensors that show it: where one stands, what precedes its name is the prefix of the generator.
_MARKS: Mapping[str, tuple[str, ...]] = {
    "rosinality": ("input.input", "conv1.conv.modulation.weight", "to_rgb1.conv.modulation.weight"),
    "nvidia": ("mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.affine.weight"),
}
_READ: Mapping[str, Callable[[dict[str, Tensor], str, Answers], Found]] = {
    "rosinality": read_rosinality_state,
    "nvidia": read_nvidia_state,
}


@dataclass(frozen=True)
class StateDict(Generic[T]):
    """A generator's tensors under its project's names, without a prefix.

    ``name``: where in the file they stand ("g_ema", "decoder"); empty where they are all that it holds.
    """

    name: str
    layout: str
    tensors: dict[str, T]


def state_dicts(tensors: Mapping[str, T], place: tuple[str, ...] = ()) -> list[StateDict[T]]:
    """Return the generators in one table of tensors that stands at ``place`` in its file."""
    found = []
    for layout, marks in _MARKS.items():
        for prefix in _prefixes(tensors, marks):
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


def choose(found: list[StateDict[T]], answers: Answers) -> StateDict[T]:
    """Return the generator that the caller names, else the averaged one, else the only one.

    Raises :class:`CheckpointError` where the file holds no generator of that name, or several and no averaged one.
    """
    names = ", ".join(sorted(one.name or "one without a name" for one in found))[:200]
    if answers.network is not None:
        found = [one for one in found if answers.network in (one.name, one.name.rpartition(".")[2])]
        if not found:
            raise CheckpointError(
                f"no generator {answers.network} in this file", [Problem(f"the file holds {names}", "network")]
            )
    averaged = [one for one in found if "ema" in one.name.lower()]
    candidates = averaged or found
    if len(candidates) > 1:
        raise ask(("network", f"it holds several generators: {names}"))
    return candidates[0]


def read_chosen(chosen: StateDict[Tensor], answers: Answers) -> Found:
    """Return the generator of a table whose tensors are read. Raises :class:`CheckpointError`."""
    return _READ[chosen.layout](chosen.tensors, chosen.name, answers)


def read_state_dicts(value: Any, answers: Answers, limits: Limits) -> Found | None:
    """Return the generator in the value of a ``torch.save`` file, or None where there is none.

    Raises :class:`CheckpointError` for a generator of another kind, and as the layouts do.
    """
    found: list[StateDict[StoredTensor]] = []
    kinds: list[str] = []
    for place, tensors, above in _tables(value):
        related = related_kind(tensors)
        inside = [] if related else state_dicts(tensors, place)
        kinds += [kind for kind in (related or unread_kind(tensors),) if kind and not inside]
        for one in inside:
            average = {LATENT_AVG: above[LATENT_AVG]} if LATENT_AVG in above else {}
            found.append(StateDict(one.name, one.layout, average | one.tensors))
    if not found and kinds:
        raise refusal(kinds[0])
    if not found:
        return None
    chosen = choose(found, answers)
    return read_chosen(StateDict(chosen.name, chosen.layout, read_all(chosen.tensors, limits)), answers)


def _tables(value: Any) -> Iterator[tuple[tuple[str, ...], dict[str, StoredTensor], dict[str, StoredTensor]]]:
    """Yield (place, tensors, tensors of the tables around it) of each table in a value, each table once."""
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
            average = {name: one for name, one in tensors.items() if name == LATENT_AVG}
            following += [((*place, key), one, above | average) for key, one in table.items() if type(key) is str]
        level = following
