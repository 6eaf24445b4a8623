"""Content of a checkpoint: tensors under our names, the configuration, and notes for the report."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import CheckpointError, Problem
from core.generators.biggan.config import BigGANConfig
from core.generators.biggan.network import Network

Translate = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Found:
    """A generator as its file has it, translated into our configuration and our names."""

    format: str
    network: str
    """Name of the generator inside the file; empty where it is alone."""
    config: BigGANConfig
    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def translated(
    config: BigGANConfig,
    tensors: Mapping[str, Tensor],
    names: Callable[[str], Iterable[str]],
    change: Callable[[str, Tensor], Tensor],
    ignored: tuple[str, ...],
) -> dict[str, Tensor]:
    """Return a file's tensors under our names.

    names: our name → the names that the tensor may have in the file. change: (our name, tensor) → the tensor as our
    network has it. ignored: endings of names that are not needed. Raises :class:`CheckpointError` that names every
    tensor that is missing, left over or misshapen, by its name in the file.
    """
    with torch.device("meta"):
        wanted = Network(config).state_dict()
    found: dict[str, Tensor] = {}
    problems, used = [], set()
    for ours, like in wanted.items():
        candidates = list(names(ours))
        theirs = next((name for name in candidates if name in tensors), None)
        if theirs is None:
            problems.append(Problem("missing", candidates[0]))
            continue
        used.add(theirs)
        tensor = change(ours, tensors[theirs])
        if tensor.shape != like.shape or not tensor.is_floating_point():
            problems.append(
                Problem(f"{tensor.dtype} {list(tensors[theirs].shape)} does not fit the other tensors", theirs)
            )
        elif not tensor.isfinite().all():
            problems.append(Problem("not finite", theirs))
        found[ours] = tensor.to(torch.float32, copy=True).contiguous()
    left = (name for name in tensors.keys() - used if not name.endswith(ignored))
    problems += [Problem("unexpected tensor", name) for name in sorted(left)]
    if problems:
        raise CheckpointError("this is no complete BigGAN generator", problems[:50])
    return found
